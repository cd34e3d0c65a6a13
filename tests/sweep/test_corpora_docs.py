"""What docs/corpora.md and configs/corpora.yaml show is what the spec takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from esn_dist.sweep.corpus_types import parse_corpus
from esn_dist.sweep.load import load_sweep

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/corpora.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_every_block_of_the_page_is_a_list_of_corpora(block: str) -> None:
    corpora = yaml.safe_load(block)
    assert corpora and all(parse_corpus(corpus) for corpus in corpora)


def test_the_example_sweep_loads_and_shows_every_setting_of_the_paper_s_corpora() -> None:
    path = ROOT / "configs/corpora.yaml"
    shown = path.read_text(encoding="utf-8")
    for spec in load_sweep(path).corpora:
        for name in type(spec).model_fields:
            assert f"{name}:" in shown, f"{name} of {spec.type}"
