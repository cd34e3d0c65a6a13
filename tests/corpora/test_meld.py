"""MELD is read in every layout, and each clip that the authors' issues name is excluded with the right reason."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

import pytest
import soundfile

from esn_dist.corpora import Clip, Exclusion, Limits, LoadedCorpus, probe
from esn_dist.corpora.meld import read_meld
from esn_dist.errors import UserError
from tests.corpora.miniature.meld import FIRST_ROW, FOLDERS, HEADER, KEYS, lines, table
from tests.corpora.miniature.speech import hum

EMOTIONS = ("anger", "joy", "neutral", "sadness", "surprise")


def labels(corpus: LoadedCorpus) -> dict[str, str]:
    excluded = {item.id: item.emotion for item in corpus.exclusions}
    return excluded | {item.id: item.emotion for item in corpus.utterances}


def files(corpus: LoadedCorpus) -> dict[str, str]:
    return {item.id: item.path.name for item in corpus.utterances}


def test_the_miniature_s_csv_is_in_the_authors_dialect_to_the_byte(meld: Path) -> None:
    data = (meld / "train_sent_emo.csv").read_bytes()
    assert data.startswith(f"{HEADER}\r\n{FIRST_ROW}\r\n".encode())
    buffer = io.StringIO()
    csv.writer(buffer).writerows(csv.reader(io.StringIO(data.decode(), newline="")))
    assert buffer.getvalue().encode() == data


def test_ids_carry_the_split_because_dialogues_restart_in_each(meld: Path) -> None:
    corpus = read_meld(meld, EMOTIONS)
    expected = {f"{s}_dia{line.dialogue}_utt{line.turn}": line.emotion for s in KEYS for line in lines(s)}
    assert labels(corpus) == expected
    assert {"train_dia0_utt0", "dev_dia0_utt0", "test_dia0_utt0"} <= expected.keys()
    assert {item.split for item in corpus.utterances} == {"train", "dev", "test"}
    assert len({item.path for item in corpus.utterances}) == len(corpus.utterances)


def test_serial_numbers_are_not_keys(meld: Path) -> None:
    before = read_meld(meld, EMOTIONS)
    path = meld / "train_sent_emo.csv"
    rows = list(csv.reader(io.StringIO(table("train"), newline="")))
    assert len({row[0] for row in rows}) < len(rows), "they repeat in the miniature as in the release"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([rows[0], *(["7", *row[1:]] for row in rows[1:])])
    assert read_meld(meld, EMOTIONS) == before


def test_damaged_missing_long_and_short_clips_have_their_reasons(meld: Path) -> None:
    results = [probe(utterance, Limits()) for utterance in read_meld(meld, EMOTIONS).utterances]
    assert {v.id: str(v.reason) for v in results if isinstance(v, Exclusion)} == {
        "train_dia71_utt0": "too short",
        "train_dia125_utt3": "unreadable",
        "dev_dia110_utt7": "missing",
        "test_dia38_utt4": "too long",
    }
    fit = {v.utterance.id: v.samples for v in results if isinstance(v, Clip)}
    assert fit["train_dia0_utt0"] == pytest.approx(14 * 1_024 / 3, abs=1)


def test_a_recut_replaces_the_plain_clip_unless_the_setting_says_no(meld: Path) -> None:
    preferred, plain = (files(read_meld(meld, EMOTIONS, prefer_recuts=setting)) for setting in (True, False))
    assert preferred["test_dia1_utt1"] == "final_videos_testdia1_utt1.mp4"
    assert plain["test_dia1_utt1"] == "dia1_utt1.mp4"
    for names in (preferred, plain):  # either is used where there is only one
        assert names["test_dia1_utt3"] == "final_videos_testdia1_utt3.mp4"
        assert names["test_dia1_utt0"] == "dia1_utt0.mp4"
        assert names["dev_dia0_utt1"] == "dia0_utt1.mp4"
    assert "test: clips taken from a re-cut final_videos_test*: 3" in read_meld(meld, EMOTIONS).notes


def test_clips_without_a_row_are_noted_and_appledouble_files_are_not_clips(meld: Path) -> None:
    notes = read_meld(meld, EMOTIONS).notes
    assert [note for note in notes if "without a row" in note] == [
        "dev: clips without a row in the csv, ignored: 1 (dia49_utt4)"
    ]
    (meld / FOLDERS["dev"] / "dia0_utt1.mp4").unlink()
    (meld / FOLDERS["dev"] / "._dia0_utt1.mp4").write_bytes(bytes(212))
    assert files(read_meld(meld, EMOTIONS))["dev_dia0_utt1"] == "dia0_utt1.mp4"


@pytest.mark.parametrize("place", ["in place", "a folder per split", "csv in the clips' folder", "doubled", "renamed"])
@pytest.mark.parametrize("from_parent", [False, True])
def test_every_way_of_unpacking_gives_the_same_utterances(meld: Path, place: str, from_parent: bool) -> None:
    before = read_meld(meld, EMOTIONS)
    present = sum(utterance.path.is_file() for utterance in before.utterances)
    for split, folder in FOLDERS.items():
        clips, sheet = meld / folder, meld / f"{split}_sent_emo.csv"
        match place:
            case "a folder per split":
                (meld / split).mkdir()
                clips.rename(meld / split / folder)
                sheet.rename(meld / split / sheet.name)
            case "csv in the clips' folder":
                sheet.rename(clips / sheet.name)
            case "doubled":
                clips.rename(meld / "inner")
                clips.mkdir()
                (meld / "inner").rename(clips / folder)
            case "renamed":
                clips.rename(meld / f"{split} clips")
    after = read_meld(meld.parent if from_parent else meld, EMOTIONS)
    assert (labels(after), files(after)) == (labels(before), files(before))
    assert sum(utterance.path.is_file() for utterance in after.utterances) == present > 30


def test_extracted_wavs_are_used_where_the_videos_are_gone(meld: Path) -> None:
    wavs = meld / "audio" / "train"
    wavs.mkdir(parents=True)
    for clip in (meld / FOLDERS["train"]).iterdir():
        soundfile.write(wavs / f"{clip.stem}.wav", hum(0.5), 16_000)
    both = read_meld(meld, EMOTIONS)
    assert files(both)["train_dia0_utt0"] == "dia0_utt0.mp4"
    assert any("train: clips in 2 folders, the first wins: train_splits, audio/train" in note for note in both.notes)
    (meld / FOLDERS["train"]).rename(meld.parent / "gone")
    of_train = [u for u in read_meld(meld, EMOTIONS).utterances if u.split == "train"]
    assert of_train and all(u.path == wavs / f"{u.id.removeprefix('train_')}.wav" for u in of_train)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_a_spreadsheet_s_encoding_changes_no_speaker_and_is_noted(meld: Path, encoding: str) -> None:
    (meld / "dev_sent_emo.csv").write_bytes(table("dev").encode(encoding))
    corpus = read_meld(meld, EMOTIONS)
    assert "Richard’s Date" in {item.speaker for item in corpus.utterances if item.split == "dev"}
    noted = "dev_sent_emo.csv is not UTF-8: read as cp1252" in corpus.notes
    assert noted == (encoding == "cp1252")


def test_a_name_for_several_people_is_an_unknown_speaker(meld: Path) -> None:
    corpus = read_meld(meld, EMOTIONS)
    speakers = Counter(item.speaker for item in corpus.utterances)
    assert set(speakers) == {"Chandler", "Rachel", "Richard’s Date", "Joey", ""}
    assert any("of unknown speaker" in note and "Ross and Joey" in note for note in corpus.notes)


def test_a_row_twice_is_refused_with_both_lines(meld: Path) -> None:
    path = meld / "dev_sent_emo.csv"
    path.write_bytes(path.read_bytes() + path.read_bytes().splitlines(keepends=True)[2])
    with pytest.raises(UserError, match=r"dev_sent_emo\.csv:17.*'0/1' is on line 3"):
        read_meld(meld, EMOTIONS)


def test_a_missing_csv_leaves_its_split_out_and_none_is_an_error(meld: Path) -> None:
    (meld / "train_sent_emo.csv").unlink()
    corpus = read_meld(meld, EMOTIONS)
    assert {item.split for item in corpus.utterances} == {"dev", "test"}
    assert "train_sent_emo.csv not found" in corpus.notes[0] and "train.tar.gz" in corpus.notes[0]
    for path in meld.glob("*.csv"):
        path.unlink()
    with pytest.raises(UserError, match="no MELD here"):
        read_meld(meld, EMOTIONS)


def test_a_split_without_clips_is_noted(meld: Path) -> None:
    (meld / FOLDERS["dev"]).rename(meld.parent / "gone")
    corpus = read_meld(meld, EMOTIONS)
    assert "dev: no folder of clips found (the archive's is dev_splits_complete)" in corpus.notes
    assert not any(u.path.exists() for u in corpus.utterances if u.split == "dev")
