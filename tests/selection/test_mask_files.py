"""Masks leave one store as a file and come into another sweep as they were; who they are is the file's content."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esn_dist.api import open_sweep
from esn_dist.errors import UserError
from esn_dist.report.searches import searches, studies_of_provenance
from esn_dist.runner.mask_selection import MaskSelection
from esn_dist.runner.prepare import check_mask_files
from esn_dist.store import create
from esn_dist.store.folder import StoreFolder
from esn_dist.store.tables import MaskTable
from esn_dist.sweep.keys import MaskKey
from esn_dist.sweep.load import load_sweep
from esn_dist.sweep.mask_files import content_hash
from esn_dist.sweep.plan import plan
from esn_dist.sweep.records import read_mask_keys
from esn_dist.sweep.spec import Sweep
from esn_dist.terms import JOIN
from tests.stored_masks import read_member

EMOTIONS = ("anger", "joy", "sadness")
SWEEP = """
name: borrowed
seed: 1
models: [{name: mine, model: MODEL}]
corpora:
  - {name: elsewhere, type: synthetic, condition: room, emotions: [anger, joy, sadness]}
studies:
  shared:
    mask_files: [FILE]
    interventions: [deactivate, {type: mix, alpha: 1}]
"""


@pytest.fixture(scope="module")
def file(small_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shared") / "conact.json"
    open_sweep(small_store).export_masks(path, selector=["ConAct"], source_corpus=["studio"])
    return path


def load(folder: Path, file: str, model: str = "tiny-qwen2.5-omni", study: str = "") -> Sweep:
    text = SWEEP.replace("FILE", file).replace("MODEL", model) + study
    (folder / "sweep.yaml").write_text(text, encoding="utf-8")
    return load_sweep(folder / "sweep.yaml")


def store_for(sweep: Sweep, root: Path) -> tuple[StoreFolder, dict[str, MaskKey]]:
    """A store with the rows of the plan's masks, and nothing written."""
    folder = StoreFolder(root)
    create.create_root(folder, {})
    create.add_model(folder, "mine", 4, 16, {})
    keys = {mask.id: mask for mask in plan(sweep).masks}
    rows = [
        (m.id, str(m.selector), m.corpus, m.emotion, float(m.fraction), m.seed, 0, JOIN.join(m.parts), 6)
        for m in keys.values()
    ]
    create.add_masks(folder, "mine", MaskTable.from_rows(rows))
    return folder, keys


def test_random_masks_of_the_file_s_fraction_control_for_it_where_the_study_asks(file: Path, tmp_path: Path) -> None:
    """Equal budget, which is what the report puts side by side."""
    random = "    selectors: [RND]\n    fractions: 10 %\n    seeds: 2\n"
    planned = plan(load(tmp_path, str(file), study=random))
    fractions = {
        (c.mask.selector, c.mask.seed, c.mask.fraction)
        for c in planned.cells
        if c.mask and c.intervention == "deactivate"
    }
    assert fractions == {("file", -1, Decimal("0.1")), *(("RND", n, Decimal("0.1")) for n in range(2))}


def test_a_study_of_a_file_has_its_masks_and_no_selector(file: Path, tmp_path: Path) -> None:
    planned = plan(load(tmp_path, str(file)))
    label = f"file:{content_hash(file)[:12]}"
    cells = [cell for cell in planned.cells if cell.mask]
    assert [(c.intervention, c.source_emotion) for c in cells] == [
        *(("deactivate", emotion) for emotion in EMOTIONS), ("mix", ""),
    ]  # fmt: skip
    assert {(c.mask.corpus, c.mask.selector, c.mask.fraction) for c in cells if c.mask} == {
        (label, "file", Decimal("0.1"))
    }
    assert all(mask.sources == () for mask in planned.masks), "nothing is identified for them"


def test_the_file_s_masks_are_written_as_they_are_and_joined_for_mix(
    file: Path, tmp_path: Path, small_store: Path
) -> None:
    sweep = load(tmp_path, str(file))
    folder, keys = store_for(sweep, tmp_path / "store")
    files = {f.label: f.path for f in sweep.studies["shared"].mask_files}
    selection = MaskSelection(folder, "mine", {}, {}, 1, files)
    for key in keys.values():
        selection.write(key)
    theirs = {e: read_member(StoreFolder(small_store), "tiny", f"ConAct-studio-{e}") for e in EMOTIONS}
    for key in keys.values():
        expected = np.logical_or.reduce([theirs[single.emotion] for single in key.emotion_masks])
        np.testing.assert_array_equal(read_member(folder, "mine", key.id), expected)
    assert read_mask_keys(folder, "mine") == keys, "the executor finds the parts of a mixture by what the table says"


def test_the_content_decides_not_the_place_or_the_name(file: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.json").write_bytes(file.read_bytes())
    assert plan(load(tmp_path, "copy.json")) == plan(load(tmp_path, str(file)))
    content = json.loads(file.read_text(encoding="utf-8"))
    content["masks"][0]["neurons"] = {"0": [1]}
    (tmp_path / "copy.json").write_text(json.dumps(content), encoding="utf-8")
    assert not {m.id for m in plan(load(tmp_path, "copy.json")).masks} & {
        m.id for m in plan(load(tmp_path, str(file))).masks
    }


def test_a_hash_that_was_written_down_is_kept_to(file: Path, tmp_path: Path) -> None:
    digest = content_hash(file)
    assert load(tmp_path, f"{{path: {file}, sha256: {digest}}}") is not None
    with pytest.raises(UserError, match=digest):
        load(tmp_path, f"{{path: {file}, sha256: {'f' * 64}}}")


def test_masks_of_another_model_or_other_weights_are_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"of tiny-qwen2\.5-omni, and the study runs qwen2\.5-omni-7b"):
        load(tmp_path, str(file), model="qwen2.5-omni-7b")
    sweep = load(tmp_path, str(file))
    check_mask_files(sweep, sweep.models[0], "abc123")
    with pytest.raises(UserError, match="other weights"):
        check_mask_files(sweep, sweep.models[0], "def456")


def test_a_file_of_several_selectors_is_refused_with_the_command_that_helps(small_store: Path, tmp_path: Path) -> None:
    open_sweep(small_store).export_masks(tmp_path / "all.json")
    with pytest.raises(UserError, match="masks export FOLDER --selector"):
        load(tmp_path, "all.json")
    open_sweep(small_store).export_masks(tmp_path / "random.json", selector=["RND"])
    with pytest.raises(UserError, match="no emotion mask"):
        load(tmp_path, "random.json")


def test_a_missing_file_and_a_changed_one_are_told_apart_from_numbers(file: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path, "nowhere.json")
    (tmp_path / "mine.json").write_bytes(file.read_bytes())
    sweep = load(tmp_path, "mine.json")
    folder, keys = store_for(sweep, tmp_path / "store")
    (tmp_path / "mine.json").write_text(file.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    files = {f.label: f.path for f in sweep.studies["shared"].mask_files}
    for given in (files, {}):
        with pytest.raises(UserError, match="was removed from the sweep, or changed"):
            MaskSelection(folder, "mine", {}, {}, 1, given).write(next(iter(keys.values())))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("selectors: [file]", "name the files in `mask_files`"),
        ("mask_files: [x.json]\n    reach: 0.5\n    fractions: [1 %, 2 %]", "the masks of a file have one"),
    ],
)
def test_what_a_file_cannot_do_is_refused(line: str, message: str, tmp_path: Path) -> None:
    text = SWEEP.replace("MODEL", "tiny-qwen2.5-omni").replace("mask_files: [FILE]", line)
    (tmp_path / "sweep.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        load_sweep(tmp_path / "sweep.yaml")


def test_a_report_reads_the_yaml_of_a_run_with_files_that_are_gone(small_store: Path) -> None:
    answers: dict[tuple[str, str], Any] = {("tiny", "studio"): open_sweep(small_store).answers(corpus="studio").load()}
    text = SWEEP.replace("MODEL", "tiny-qwen2.5-omni").replace("FILE", "gone.json")
    assert searches(answers, studies_of_provenance([text]), []) == []
