"""`esn-dist power` and `esn-dist masks export`, through the door."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from esn_dist.analysis.power import utterances_needed
from esn_dist.cli import app
from esn_dist.store.folder import StoreFolder
from esn_dist.store.maskfile import read_mask_file
from esn_dist.store.read import open_answers


def test_power_prints_the_number_for_a_given_share() -> None:
    result = CliRunner().invoke(app, ["power", "--effect", "-10", "--flipped", "0.3", "--tests", "4"])
    assert result.exit_code == 0
    assert f"30.0 % of the answers flip: {utterances_needed(-10, 0.3, level=0.05 / 4)} utterances" in result.stdout


def test_power_takes_the_share_from_the_cells_of_a_store(small_store: Path) -> None:
    result = CliRunner().invoke(app, ["power", "--effect", "-2", "--store", str(small_store), "--json"])
    rows = {row["condition"]: row for row in json.loads(result.stdout)}
    answers = open_answers(StoreFolder(small_store), "tiny", "room").load()
    share, pairs = 0, 0
    for emotion in answers["emotion"].values:
        labelled = answers.isel(utterance=(answers["label"] == emotion).values)
        both = labelled.sel(cell=["base", f"ConAct-room-{emotion}@-1.0"])
        usable = both["outcome"].isin([1, 2]).all("cell").values
        code = list(answers["emotion"].values).index(emotion)
        right = (both["answer"] == code).values & (both["outcome"] == 1).values
        share, pairs = share + int((right[0] != right[1])[usable].sum()), pairs + int(usable.sum())
    row = rows["tiny on room, Deactivation, ConAct, r = 10 %, masks from room"]
    assert row["flipped"] == share / pairs
    assert row["utterances"] == utterances_needed(-2, share / pairs)


def test_an_effect_larger_than_the_share_of_flips_is_impossible_and_has_no_number(small_store: Path) -> None:
    result = CliRunner().invoke(app, ["power", "--effect", "-60", "--store", str(small_store)])
    assert result.exit_code == 0 and "cannot be" in result.stdout


@pytest.mark.parametrize("options", [[], ["--flipped", "0.1", "--store", "x"]])
def test_power_wants_one_source_of_the_share(options: list[str]) -> None:
    result = CliRunner().invoke(app, ["power", "--effect", "-2", *options])
    assert result.exit_code == 2 and "either --flipped SHARE or --store FOLDER" in result.stderr


def test_masks_are_exported_by_selector_and_emotion(small_store: Path, tmp_path: Path) -> None:
    out = tmp_path / "masks.json"
    chosen = ["--selector", "MAD", "--emotion", "joy", "--emotion", "anger", "--out", str(out)]
    result = CliRunner().invoke(app, ["masks", "export", str(small_store), *chosen])
    assert result.exit_code == 0 and result.stdout.startswith("4 masks in ")
    masks = read_mask_file(out)
    assert set(masks["source_emotion"].values) == {"joy", "anger"} and set(masks["selector"].values) == {"MAD"}
    assert np.all(masks["size"] == 6)


def test_a_misspelt_selector_is_refused_with_the_nearest(small_store: Path, tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "x.json")]
    result = CliRunner().invoke(app, ["masks", "export", str(small_store), "--selector", "conac", *out])
    assert result.exit_code == 2 and "Did you mean 'ConAct'" in result.stderr and not (tmp_path / "x.json").exists()
