"""Masks as a file: what is written comes back, and a file for another model is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from esn_dist.errors import UserError
from esn_dist.store.folder import StoreFolder
from esn_dist.store.maskfile import NUMBERS, TEXTS, read_mask_file, write_mask_file
from esn_dist.store.read import open_masks, read_model


@pytest.fixture
def written(small_store: Path, tmp_path: Path) -> Path:
    folder = StoreFolder(small_store)
    write_mask_file(tmp_path / "new" / "masks.json", open_masks(folder, "tiny"), read_model(folder, "tiny") or {})
    return tmp_path / "new" / "masks.json"


def test_what_is_written_comes_back(small_store: Path, written: Path) -> None:
    stored, back = open_masks(StoreFolder(small_store), "tiny"), read_mask_file(written)
    for name in ("member", "size", "mask", *TEXTS, *NUMBERS):
        assert (stored[name].values == back[name].values).all(), name
    assert back.attrs == {"model": "tiny", "registered": "tiny-qwen2.5-omni", "weights": "abc123"}


def test_the_file_is_small_and_a_person_can_read_it(written: Path) -> None:
    content = json.loads(written.read_text())
    assert (content["layers"], content["width"]) == (4, 16)
    mask = next(mask for mask in content["masks"] if mask["id"] == "ConAct-studio-joy")
    assert sum(map(len, mask["neurons"].values())) <= mask["budget"] == 6
    assert mask["source_emotion"] == "joy"
    assert len(written.read_text().splitlines()) < 30


def test_a_file_without_masks_is_a_file(small_store: Path, tmp_path: Path) -> None:
    folder = StoreFolder(small_store)
    write_mask_file(tmp_path / "none.json", open_masks(folder, "tiny").isel(mask=[]), {"layers": 4, "width": 16})
    assert read_mask_file(tmp_path / "none.json").sizes["mask"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": 1}, "a neuron of layer"),
        ({"width": 3}, "that the model does not have"),
        ({"esn_dist_masks": 99}, "version 99"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(written: Path, change: dict[str, int], message: str) -> None:
    written.write_text(json.dumps({**json.loads(written.read_text()), **change}))
    with pytest.raises(UserError, match=message):
        read_mask_file(written)


@pytest.mark.parametrize("content", ["[1]", "{}", "no json"])
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(UserError, match=r"no mask file|no JSON"):
        read_mask_file(tmp_path / "x.json")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_mask_file(tmp_path / "absent.json")
