"""What a stranger finds who reads the store without our code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

from esn_dist.store import create, read, write
from esn_dist.store.folder import StoreFolder
from esn_dist.store.tables import CellTable
from esn_dist.store.zarr_nodes import dims_of, open_array

Values = Callable[[int, int], dict[str, Any]]

PORTABLE = {"uint8", "uint16", "uint32", "int8", "int32", "float32", "float64", "bool"}


@pytest.fixture
def filled(
    folder: StoreFolder,
    make_cells: Callable[..., CellTable],
    block_of_answers: Values,
    shard_of_counts: Values,
) -> StoreFolder:
    create.add_answers(folder, "tiny", "synthetic", make_cells("baseline", "c1", "c2"), 2)
    write.write_answers(folder, "tiny", "synthetic", slice(0, 2), **block_of_answers(2, 1))
    write.write_counts(folder, "tiny", "synthetic", slice(0, 64), **shard_of_counts(40, 2))
    return folder


def test_plain_xarray_opens_every_group_without_a_warning(filled: StoreFolder) -> None:
    nodes = [path.parent for path in filled.data.rglob("zarr.json")]
    groups = [node for node in nodes if isinstance(zarr.open(node, mode="r"), zarr.Group)]
    assert len(groups) == 12
    for group in groups:
        name = "/".join(group.relative_to(filled.data).parts)
        xr.open_zarr(filled.data, group=name, consolidated=False).load()
    answers = xr.open_zarr(filled.data, group="models/tiny/synthetic/answers", consolidated=False)
    assert answers.answer.dims == ("cell", "utterance")
    assert {"cell_id", "selector", "alpha", "utterance_id", "label"} <= set(answers.coords)
    words = np.array([*answers.selector.categories, ""])[answers.selector]
    assert words.tolist() == ["", "LAP", "LAP", ""]
    assert answers.cell_id.values[1].tobytes().rstrip(b"\0").decode() == "c1"
    assert answers.outcome.categories[answers.outcome.values[0, 0]] == "answered"


def test_every_array_has_named_dimensions_a_checksum_and_a_type_that_all_readers_know(filled: StoreFolder) -> None:
    described = [json.loads(path.read_text()) for path in filled.data.rglob("zarr.json")]
    arrays = [description for description in described if description["node_type"] == "array"]
    assert len(arrays) > 50
    for array in arrays:
        assert all(array["dimension_names"]) and len(array["dimension_names"]) == len(array["shape"])
        assert array["data_type"] in PORTABLE
        codecs = array["codecs"]
        inner = codecs[0]["configuration"]["codecs"] if codecs[0]["name"] == "sharding_indexed" else codecs
        assert inner[-1]["name"] == "crc32c"
    assert not any("consolidated_metadata" in description for description in described)


def test_counts_are_in_shards_of_32_utterances_with_all_layers(filled: StoreFolder) -> None:
    array = open_array(filled, "models/tiny/synthetic/counts/K")
    assert (array.shape, array.shards, array.chunks) == ((128, 3, 6, 16), (32, 3, 6, 16), (8, 1, 3, 16))
    files = sorted(path.name for path in (filled.data / "models/tiny/synthetic/counts/K").glob("c.*"))
    assert files == ["c.0.0.0.0", "c.1.0.0.0"]


def test_the_sum_of_each_shard_is_a_separate_file_and_blosc_has_its_width(filled: StoreFolder) -> None:
    path = filled.data / "models/tiny/synthetic/counts/K_correct"
    array = open_array(filled, "models/tiny/synthetic/counts/K_correct")
    assert (array.shape, array.shards, array.chunks) == ((4, 3, 6, 16), (1, 3, 6, 16), (1, 1, 3, 16))
    assert array.dtype == "uint32" and dims_of(array) == ("shard", "part", "layer", "neuron")
    assert sorted(file.name for file in path.glob("c.*")) == ["c.0.0.0.0", "c.1.0.0.0"]
    for name, bytes_each in (("K", 2), ("K_correct", 4)):
        described = json.loads((path.parent / name / "zarr.json").read_text())
        (codec,) = (c for c in described["codecs"][0]["configuration"]["codecs"] if c["name"] == "blosc")
        assert codec["configuration"]["typesize"] == bytes_each


@pytest.mark.parametrize("layers", [1, 2, 3, 5, 28, 36])
def test_any_number_of_layers_has_a_layout(folder: StoreFolder, layers: int) -> None:
    create.add_model(folder, f"m{layers}", layers, 4, {})
    create.add_counts(folder, f"m{layers}", "synthetic")
    assert open_array(folder, f"models/m{layers}/synthetic/counts/K").shape[2] == layers


def test_a_chunk_that_equals_the_fill_value_is_a_file_all_the_same(folder: StoreFolder) -> None:
    zeros: dict[str, Any] = {
        "K": np.zeros((32, 3, 6, 16), np.uint16),
        "T": np.full((32, 3), 65535),
        "answer": np.full(32, -1),
        "outcome": np.zeros(32, np.uint8),
        "logprob": np.full((32, 3), np.nan),
        "text": [""] * 32,
    }
    files = write.write_counts(folder, "tiny", "synthetic", slice(0, 32), **zeros)
    assert len(files) == 8
    assert all((folder.data / file).stat().st_size > 0 for file in files)


def test_an_empty_identification_or_exclusion_table_is_a_store_too(folder: StoreFolder, tables: dict[str, Any]) -> None:
    empty = tables["identification"].empty()
    excluded = tables["exclusions"].empty()
    create.add_corpus(folder, "bare", ("a", "b", "c"), tables["evaluation"].empty(), empty, excluded, {})
    assert read.describe(folder).corpora["bare"]["set_aside"] == {}
    xr.open_zarr(folder.data, group="corpora/bare/set_aside", consolidated=False).load()


def test_the_readmes_examples_run(filled: StoreFolder) -> None:
    page = (Path(__file__).parents[2] / "store" / "README.md").read_text(encoding="utf-8")
    examples = [block.split("```")[0] for block in page.split("```python\n")[1:]]
    assert len(examples) == 2
    for example in examples:
        names: dict[str, Any] = {}
        replaced = example.replace("store/quickstart", str(filled.root))
        exec(replaced.replace("MODEL", "tiny").replace("CORPUS", "synthetic"), names)
    assert names["cells"] == ["baseline", "c1", "c2", ""] and names["selectors"][1] == "LAP"
    assert names["correct"].dims == ("cell", "utterance") and bool(names["correct"][3].isnull().all())
