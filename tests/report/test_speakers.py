"""Speakers of the two sets: what could not be kept apart is told by status and the report, from the store."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from rich.console import Console
from typer.testing import CliRunner

from esn_dist.cli import app
from esn_dist.cli.run import print_conclusion
from esn_dist.report.document import Document
from esn_dist.report.markdown import markdown
from esn_dist.report.speakers import speaker_rows, speaker_text, unverified_speakers
from esn_dist.runner.loop import RunResult
from esn_dist.store import create
from esn_dist.store.folder import StoreFolder
from esn_dist.store.speakers import read_speakers
from esn_dist.store.tables import ExclusionTable, UtteranceTable, in_whole_shards

EMOTIONS = ("anger", "joy")


def store(tmp_path: Path, evaluation: list[str], identification: list[str], disjoint: bool) -> StoreFolder:
    """A store whose two sets have these speakers, the emotions in turn."""
    folder = StoreFolder(tmp_path / "s")
    create.create_root(folder, {"sweep": "s", "seed": 1})
    identity = {"identification": {"speaker_disjoint": disjoint}}
    pool = in_whole_shards(_table("i", sorted(identification)), EMOTIONS)
    create.add_corpus(folder, "c", EMOTIONS, _table("e", evaluation), pool, ExclusionTable.from_rows([]), identity)
    return folder


def _table(prefix: str, speakers: list[str]) -> UtteranceTable:
    half = len(speakers) // 2
    rows = [
        (f"{prefix}{n}", speaker, EMOTIONS[n >= half], (1, 2), "", f"{prefix}{n}.wav", 16000, f"{n:064x}")
        for n, speaker in enumerate(speakers)
    ]
    return UtteranceTable.from_rows(rows)


def test_utterances_of_unknown_speakers_are_named_where_speakers_should_be_apart(tmp_path: Path) -> None:
    speakers = read_speakers(store(tmp_path, ["Ann", "", "Bo", "Bo"], ["Cy", "", "", "Di"], disjoint=True), "c")
    assert (speakers.unknown_evaluation, speakers.unknown_identification, speakers.shared) == (
        ("e1",),
        ("i0", "i1"),
        (),
    )
    assert speaker_text(speakers) == (
        "c: no named speaker of the evaluation set is in identification; unverified, because the speaker is "
        "unknown: 1 of 4 evaluation utterances and 2 of 4 identification utterances"
    )
    assert [(row["set"], row["utterance"], row["reason"]) for row in speaker_rows([speakers])] == [
        ("evaluation", "e1", "unknown speaker"),
        ("identification", "i0", "unknown speaker"),
        ("identification", "i1", "unknown speaker"),
    ]


def test_a_promise_that_was_kept_is_no_note(tmp_path: Path) -> None:
    speakers = read_speakers(store(tmp_path, ["Ann", "Bo"], ["Cy", "Di"], disjoint=True), "c")
    assert unverified_speakers([speakers]) == [] and speaker_text(speakers).endswith("is in identification")


def test_speakers_that_nobody_wanted_apart_are_counted_and_no_note(tmp_path: Path) -> None:
    speakers = read_speakers(store(tmp_path, ["Ann", "Bo"], ["Ann", ""], disjoint=False), "c")
    assert speakers.shared == ("i1",) and speakers.unknown_identification == ("i0",)
    assert unverified_speakers([speakers]) == []
    assert "1 of 2 identification utterances have a speaker of it" in speaker_text(speakers)


@pytest.mark.parametrize("disjoint", [True, False])
def test_status_shows_the_speakers_of_the_stored_sets(tmp_path: Path, disjoint: bool) -> None:
    folder = store(tmp_path, ["Ann", "Bo"], ["", "Di"], disjoint)
    folder.done.mkdir(exist_ok=True)
    result = CliRunner().invoke(app, ["status", str(folder.root)])
    assert (
        result.exit_code == 0
        and ("unverified, because the speaker is unknown: 1 of 2 identification utterances" in result.stdout)
        is disjoint
    )
    facts = json.loads(CliRunner().invoke(app, ["status", str(folder.root), "--json"]).stdout)
    (of_corpus,) = facts["speakers"]
    assert (of_corpus["asked"], of_corpus["unknown_identification"]) == (disjoint, ["i0"])


@pytest.fixture
def unnamed(small_store: Path, tmp_path: Path) -> Path:
    """The small store, as if room required separate speakers and its evaluation set named none."""
    root = shutil.copytree(small_store, tmp_path / "unnamed")
    corpus = zarr.open_group(root / "data.zarr" / "corpora" / "room", mode="r+")
    corpus.attrs["identification"] = {"cap": 30, "speaker_disjoint": True}
    speaker = zarr.open_array(root / "data.zarr" / "corpora" / "room" / "evaluation" / "speaker", mode="r+")
    speaker[:] = np.zeros(speaker.shape, np.uint8)
    return root


def test_the_end_of_a_run_and_the_printed_report_show_it(unnamed: Path) -> None:
    console = Console(file=io.StringIO(), width=200)
    print_conclusion(console, unnamed, RunResult(), Path("small.yaml"))
    assert isinstance(console.file, io.StringIO)
    note = "unverified, because the speaker is unknown: 36 of 36 evaluation utterances"
    assert note in console.file.getvalue()
    printed = CliRunner().invoke(app, ["report", str(unnamed), "--draws", "10"])
    assert printed.exit_code == 0 and printed.stdout.count(note) == 1


def test_the_report_has_every_corpus_and_its_csv_the_utterances(document: Document) -> None:
    section = markdown(document).partition("## Speakers\n")[2].partition("##")[0]
    assert "- room: identification may share speakers" in section and "- studio: " in section
    assert (
        "108 of 108 identification utterances have a speaker of it" in section
    )  # the small store has four speakers in all
    (rows,) = (section.csv["speakers"] for section in document.sections if "speakers" in section.csv)
    assert len(rows) == 2 * 108
