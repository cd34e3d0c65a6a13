"""MSP-Podcast's releases differ in spelling only; N is neutral, and Unknown is not a speaker."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from esn_dist.corpora import LoadedCorpus, SetRule, draw
from esn_dist.corpora.msp_podcast import MSP_LABELS, MspPodcastCorpus, read_msp_podcast
from esn_dist.errors import UserError
from tests.corpora.miniature.msp_podcast import rows, write_old

EMOTIONS = ("anger", "joy", "neutral", "sadness", "surprise")
TABLE = "Labels/labels_consensus.csv"


def labels(corpus: LoadedCorpus) -> dict[str, tuple[str, str, str, bool]]:
    return {u.id: (u.emotion, u.split, u.speaker, u.path.is_file()) for u in corpus.utterances}


def test_every_row_of_the_five_classes_is_an_utterance_with_its_wav(msp_podcast: Path) -> None:
    five = {"A": "anger", "H": "joy", "N": "neutral", "S": "sadness", "U": "surprise"}
    corpus = read_msp_podcast(msp_podcast, EMOTIONS)
    assert labels(corpus) == {
        row[0].removesuffix(".wav"): (five[row[1]], row[7], "" if row[5] == "Unknown" else row[5], True)
        for row in rows()
        if row[1] in five
    }
    excluded = Counter(item.emotion for item in corpus.exclusions)
    assert excluded == Counter(MSP_LABELS[row[1]] for row in rows() if row[1] not in five)


def test_n_is_neutral_and_not_a_missing_value(msp_podcast: Path) -> None:
    corpus = read_msp_podcast(msp_podcast, EMOTIONS)
    assert Counter(u.emotion for u in corpus.utterances)["neutral"] == sum(row[1] == "N" for row in rows()) > 10


def test_unknown_speakers_have_no_name_and_are_counted_by_split(msp_podcast: Path) -> None:
    corpus = read_msp_podcast(msp_podcast, EMOTIONS)
    unknown = Counter(row[7] for row in rows() if row[5] == "Unknown")
    note = next(note for note in corpus.notes if "unknown speaker" in note)
    assert note.startswith(f"utterances of unknown speaker: {unknown.total()} (Development {unknown['Development']}, ")
    assert "Unknown" not in {u.speaker for u in corpus.utterances}


def test_audio_of_test3_without_rows_is_noted_as_expected(msp_podcast: Path) -> None:
    notes = [note for note in read_msp_podcast(msp_podcast, EMOTIONS).notes if "without a row" in note]
    assert len(notes) == 1 and notes[0].startswith("wavs without a row: 3 (MSP-PODCAST_test3_0001.wav, ")
    assert "Test3" in notes[0]


def test_test3_rows_without_labels_are_excluded(msp_podcast: Path) -> None:
    with (msp_podcast / TABLE).open("a") as file:
        file.write("MSP-PODCAST_test3_0001.wav,,,,,,,Test3\n")
    corpus = read_msp_podcast(msp_podcast, EMOTIONS)
    assert [i.emotion for i in corpus.exclusions if i.id == "MSP-PODCAST_test3_0001"] == ["no label"]


def test_old_spellings_give_the_same_utterances_and_are_noted(msp_podcast: Path) -> None:
    new = labels(read_msp_podcast(msp_podcast, EMOTIONS))
    corpus = read_msp_podcast(write_old(msp_podcast), EMOTIONS)
    assert labels(corpus) == new
    assert "labels are in labels_concensus.csv, as spelt up to release 1.8" in corpus.notes
    assert "splits renamed: Validation → Development" in corpus.notes


def test_nested_folders_and_the_parent_give_the_same_utterances(msp_podcast: Path) -> None:
    new = labels(read_msp_podcast(msp_podcast, EMOTIONS))
    for name in ("Audios", "Labels"):
        (msp_podcast / name).rename(msp_podcast / "inner")
        (msp_podcast / name).mkdir()
        (msp_podcast / "inner").rename(msp_podcast / name / name)
    assert labels(read_msp_podcast(msp_podcast, EMOTIONS)) == new
    assert labels(read_msp_podcast(msp_podcast.parent, EMOTIONS)) == new


def test_previous_labels_and_withdrawn_audio_are_never_read(msp_podcast: Path) -> None:
    corpus = read_msp_podcast(msp_podcast, EMOTIONS)
    assert not any("9999" in note for note in corpus.notes)
    (msp_podcast / TABLE).unlink()
    with pytest.raises(UserError, match=r"no labels_consensus\.csv"):
        read_msp_podcast(msp_podcast, EMOTIONS)


def test_columns_are_read_by_name_with_blanks_trimmed(msp_podcast: Path) -> None:
    new = labels(read_msp_podcast(msp_podcast, EMOTIONS))
    path = msp_podcast / TABLE
    table = list(csv.reader(path.read_text().splitlines()))
    moved = [["extra", *reversed(row)] for row in table]
    path.write_bytes(("﻿" + "\r\n".join(", ".join(row) for row in moved)).encode())
    assert labels(read_msp_podcast(msp_podcast, EMOTIONS)) == new


def test_the_error_for_a_challenge_edition_without_test1_lists_its_splits(msp_podcast: Path) -> None:
    path = msp_podcast / TABLE
    kept = [line for line in path.read_text().splitlines() if ",Test" not in line]
    path.write_text("\n".join(kept) + "\n")
    spec = MspPodcastCorpus(name="msp", type="msp-podcast", path=msp_podcast)
    corpus = read_msp_podcast(msp_podcast, spec.emotions)
    with pytest.raises(UserError, match="no utterance of the corpus 'msp' is in the split 'Test1'") as caught:
        draw(
            corpus.utterances, spec.emotions, seed=0, corpus=spec.name, validate=lambda batch: [],
            evaluation=SetRule(spec.evaluation.splits, 1), identification=SetRule(spec.identification.splits, None),
        )  # fmt: skip
    assert "'Development', 'Train'" in str(caught.value)


def test_a_file_twice_is_refused(msp_podcast: Path) -> None:
    with (msp_podcast / TABLE).open("a") as file:
        file.write("MSP-PODCAST_0001_0008.wav,A,1,1,1,1,Male,Train\n")
    with pytest.raises(UserError, match=r":122.*'MSP-PODCAST_0001_0008\.wav' is on line 2"):
        read_msp_podcast(msp_podcast, EMOTIONS)
