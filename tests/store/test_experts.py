"""Experts: the positions that were sent to each are stored next to the counts, and are the T of P = K/T."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from esn_dist.runner.mask_selection import MaskSelection
from esn_dist.runner.selection_inputs import CountSource
from esn_dist.store import create, read, write
from esn_dist.store.folder import StoreFolder
from esn_dist.store.tables import ExclusionTable, MaskTable, UtteranceTable, in_whole_shards
from esn_dist.terms import T_NOT_WRITTEN

EMOTIONS, LAYERS, EXPERTS, SHARE, ROWS = ("anger", "joy"), 2, 4, 3, 5
GROUP = "models/moe/studio/counts"
MASKS = MaskTable.from_rows(
    [("one", "MAD", "studio", "anger", 0.5, -1, 0, "audio+text", 3)]
)  # 0: the size is automatic


@pytest.fixture
def folder(tmp_path: Path) -> StoreFolder:
    made = StoreFolder(tmp_path / "sweep")
    create.create_root(made, {})
    rows = [(f"{e}{n}", "s", e, (1, 2), "", "", 1, "0") for e in EMOTIONS for n in range(ROWS)]
    table = in_whole_shards(UtteranceTable.from_rows(rows), EMOTIONS)
    create.add_corpus(made, "studio", EMOTIONS, UtteranceTable.empty(), table, ExclusionTable.empty(), {})
    create.add_model(made, "moe", LAYERS, EXPERTS * SHARE, {}, EXPERTS)
    create.add_model(made, "dense", LAYERS, EXPERTS * SHARE, {})
    for model in ("moe", "dense"):
        create.add_masks(made, model, MASKS)
        create.add_counts(made, model, "studio")
    return made


def shard(emotion: int) -> dict[str, object]:
    """One emotion's counts; joy is never sent to the last expert of the first layer."""
    random = np.random.default_rng(emotion)
    sent = random.integers(1, 9, (ROWS, 3, LAYERS, EXPERTS)).astype(np.uint16)
    sent[:, :, 0, 3] *= emotion == 0
    K = random.binomial(np.repeat(sent, SHARE, axis=3), 0.5).astype(np.uint16)
    return {
        "K": K, "T": np.full((ROWS, 3), 9, np.uint16), "T_expert": sent, "answer": np.full(ROWS, emotion),
        "outcome": np.ones(ROWS, np.uint8), "logprob": np.zeros((ROWS, 2), np.float32), "text": ["1"] * ROWS,
    }  # fmt: skip


def test_what_was_sent_to_each_expert_is_read_back_and_divides_its_counts(folder: StoreFolder) -> None:
    for emotion in range(2):
        rows = slice(32 * emotion, 32 * emotion + 32)
        files = write.write_counts(folder, "moe", "studio", rows, **shard(emotion))  # type: ignore[arg-type]
        assert f"{GROUP}/T_expert/c.{emotion}.0.0.0" in files and files[-1].startswith(f"{GROUP}/T/")
    counts = read.open_counts(folder, "moe", "studio")
    assert counts.T_expert.dims == ("utterance", "part", "layer", "expert")
    np.testing.assert_array_equal(counts.T_expert.values[ROWS:], shard(1)["T_expert"])
    plain = xr.open_zarr(folder.data, group=GROUP, consolidated=False)
    assert (plain.T_expert.values[ROWS:32] == T_NOT_WRITTEN).all(), "pad rows"
    selection = MaskSelection(folder, "moe", {"studio": EMOTIONS}, {"studio": 9}, seed=0)
    firing, used = selection.inputs.input(CountSource("studio", "auto", ("audio", "text")))
    assert used == ROWS
    for emotion in range(2):
        K, T = (np.asarray(shard(emotion)[name])[:, :2].sum(axis=(0, 1)) for name in ("K", "T_expert"))
        sent = np.repeat(T, SHARE, axis=1)
        expected = np.where(sent > 0, K / np.maximum(sent, 1), np.nan)
        np.testing.assert_array_equal(firing.probability[emotion], expected)
    assert not firing.comparable[0, 3 * SHARE :].any() and firing.comparable[1].all()


def test_a_dense_model_has_neither_the_array_nor_the_attribute(folder: StoreFolder) -> None:
    assert not (folder.data / "models/dense/studio/counts/T_expert").exists()
    dense, moe = read.read_model(folder, "dense"), read.read_model(folder, "moe")
    assert dense and moe and "experts" not in dense and moe["experts"] == EXPERTS
    given = shard(0)
    with pytest.raises(ValueError, match="given for a model without experts"):
        write.write_counts(folder, "dense", "studio", slice(0, 32), **given)  # type: ignore[arg-type]
    given.pop("T_expert")
    with pytest.raises(ValueError, match="T_expert is missing"):
        write.write_counts(folder, "moe", "studio", slice(0, 32), **given)  # type: ignore[arg-type]
