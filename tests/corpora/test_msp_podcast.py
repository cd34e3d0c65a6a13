"""MSP-Podcast's releases spell things differently and mean the same; N is neutral, and Unknown is nobody's name."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from esn_dist.corpora import LoadedCorpus, SetRule, draw
from esn_dist.corpora.msp_podcast import LABELS, MspPodcastCorpus, read_msp_podcast
from esn_dist.errors import UserError
from tests.corpora.miniature.msp_podcast import rows, write_old

EMOTIONS = ("anger", "joy", "neutral", "sadness", "surprise")
TABLE = "Labels/labels_consensus.csv"


def found(listing: LoadedCorpus) -> dict[str, tuple[str, str, str, bool]]:
    return {u.id: (u.emotion, u.split, u.speaker, u.path.is_file()) for u in listing.utterances}


def test_every_row_of_the_five_classes_is_an_utterance_with_its_wav(msp_podcast: Path) -> None:
    five = {"A": "anger", "H": "joy", "N": "neutral", "S": "sadness", "U": "surprise"}
    listing = read_msp_podcast(msp_podcast, EMOTIONS)
    assert found(listing) == {
        row[0].removesuffix(".wav"): (five[row[1]], row[7], "" if row[5] == "Unknown" else row[5], True)
        for row in rows()
        if row[1] in five
    }
    aside = Counter(item.emotion for item in listing.exclusions)
    assert aside == Counter(LABELS[row[1]] for row in rows() if row[1] not in five)


def test_n_is_neutral_and_not_a_missing_value(msp_podcast: Path) -> None:
    listing = read_msp_podcast(msp_podcast, EMOTIONS)
    assert Counter(u.emotion for u in listing.utterances)["neutral"] == sum(row[1] == "N" for row in rows()) > 10


def test_unknown_speakers_are_nobody_and_are_counted_by_split(msp_podcast: Path) -> None:
    listing = read_msp_podcast(msp_podcast, EMOTIONS)
    unknown = Counter(row[7] for row in rows() if row[5] == "Unknown")
    said = next(note for note in listing.notes if "unknown speaker" in note)
    assert said.startswith(f"utterances of unknown speaker: {unknown.total()} (Development {unknown['Development']}, ")
    assert "Unknown" not in {u.speaker for u in listing.utterances}


def test_audio_of_test3_has_no_row_and_that_is_normal(msp_podcast: Path) -> None:
    said = [note for note in read_msp_podcast(msp_podcast, EMOTIONS).notes if "without a row" in note]
    assert len(said) == 1 and said[0].startswith("wavs without a row: 3 (MSP-PODCAST_test3_0001.wav, ")
    assert "Test3" in said[0]


def test_a_release_that_lists_test3_without_labels_sets_it_aside(msp_podcast: Path) -> None:
    with (msp_podcast / TABLE).open("a") as file:
        file.write("MSP-PODCAST_test3_0001.wav,,,,,,,Test3\n")
    listing = read_msp_podcast(msp_podcast, EMOTIONS)
    assert [i.emotion for i in listing.exclusions if i.id == "MSP-PODCAST_test3_0001"] == ["no label"]


def test_old_spellings_give_the_same_utterances_and_are_told(msp_podcast: Path) -> None:
    new = found(read_msp_podcast(msp_podcast, EMOTIONS))
    listing = read_msp_podcast(write_old(msp_podcast), EMOTIONS)
    assert found(listing) == new
    assert "labels are in labels_concensus.csv, as spelt up to release 1.8" in listing.notes
    assert "splits renamed: Validation → Development" in listing.notes


def test_folders_doubled_by_hand_and_the_parent_lead_there_too(msp_podcast: Path) -> None:
    new = found(read_msp_podcast(msp_podcast, EMOTIONS))
    for name in ("Audios", "Labels"):
        (msp_podcast / name).rename(msp_podcast / "inner")
        (msp_podcast / name).mkdir()
        (msp_podcast / "inner").rename(msp_podcast / name / name)
    assert found(read_msp_podcast(msp_podcast, EMOTIONS)) == new
    assert found(read_msp_podcast(msp_podcast.parent, EMOTIONS)) == new


def test_previous_labels_and_withdrawn_audio_are_never_looked_at(msp_podcast: Path) -> None:
    listing = read_msp_podcast(msp_podcast, EMOTIONS)
    assert not any("9999" in note for note in listing.notes)
    (msp_podcast / TABLE).unlink()
    with pytest.raises(UserError, match=r"no labels_consensus\.csv"):
        read_msp_podcast(msp_podcast, EMOTIONS)


def test_columns_are_read_by_name_with_blanks_trimmed(msp_podcast: Path) -> None:
    new = found(read_msp_podcast(msp_podcast, EMOTIONS))
    path = msp_podcast / TABLE
    table = list(csv.reader(path.read_text().splitlines()))
    moved = [["extra", *reversed(row)] for row in table]
    path.write_bytes(("﻿" + "\r\n".join(", ".join(row) for row in moved)).encode())
    assert found(read_msp_podcast(msp_podcast, EMOTIONS)) == new


def test_a_challenge_edition_without_test1_is_told_which_splits_there_are(msp_podcast: Path) -> None:
    path = msp_podcast / TABLE
    kept = [line for line in path.read_text().splitlines() if ",Test" not in line]
    path.write_text("\n".join(kept) + "\n")
    spec = MspPodcastCorpus(name="msp", type="msp-podcast", path=msp_podcast)
    listing = read_msp_podcast(msp_podcast, spec.emotions)
    with pytest.raises(UserError, match="no utterance of the corpus 'msp' is in the split 'Test1'") as caught:
        draw(
            listing.utterances, spec.emotions, seed=0, corpus=spec.name, validate=lambda batch: [],
            evaluation=SetRule(spec.evaluation.splits, 1), identification=SetRule(spec.identification.splits, None),
        )  # fmt: skip
    assert "'Development', 'Train'" in str(caught.value)


def test_a_file_twice_is_refused(msp_podcast: Path) -> None:
    with (msp_podcast / TABLE).open("a") as file:
        file.write("MSP-PODCAST_0001_0008.wav,A,1,1,1,1,Male,Train\n")
    with pytest.raises(UserError, match=r":122.*'MSP-PODCAST_0001_0008\.wav' is on line 2"):
        read_msp_podcast(msp_podcast, EMOTIONS)
