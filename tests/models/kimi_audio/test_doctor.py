"""doctor on a Kimi-Audio folder: three repositories' worth of files, and a deep check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from esn_dist.errors import UserError
from esn_dist.inference.selfcheck import self_check
from esn_dist.models.doctor import diagnose
from esn_dist.models.loading import spec_of
from esn_dist.models.resolve import gate_shape


def test_a_folder_is_examined_in_all_three_of_its_repositories(tmp_path: Path, write: Callable[..., Path]) -> None:
    folder = write(tmp_path / "kimi")
    facts = diagnose(str(folder))
    assert (facts["layers"], facts["width"], facts["supported"]) == (3, 64, True)
    assert facts["weights"]["files"] == 5  # three shards, Whisper, the speech tokenizer
    assert gate_shape(spec_of(str(folder)), folder)[:2] == (3, 64)
    (folder / "whisper-large-v3" / "model.safetensors").unlink()
    with pytest.raises(UserError, match="no weights"):
        diagnose(str(folder))


def test_deep_finds_the_adapter_of_a_folder_by_its_architecture(tmp_path: Path, write: Callable[..., Path]) -> None:
    assert all(self_check(str(write(tmp_path / "kimi"))).values())
