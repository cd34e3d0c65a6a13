"""A dozen spoken clips and the shipped model; and random weights of a small shape that never stop."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from esn_dist.models.tiny.architecture import TinySize, thinker_config, tokenizer
from speed.workload import Workload, drawn, forced, tiny

SIZE = TinySize(hidden=32, layers=3, gates=48, audio_width=32, audio_ffn=32)


@pytest.fixture(scope="session")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    return tiny(tmp_path_factory.mktemp("speech"), 12)


@pytest.fixture(scope="session")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    load = partial(drawn, thinker_config(SIZE, tokenizer()), "cpu", torch.bfloat16)
    return forced(load, tmp_path_factory.mktemp("buzzes"), 6, 512)
