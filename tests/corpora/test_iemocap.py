"""IEMOCAP is read from its summary lines alone, and none of the release's known traps changes what is read."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
import soundfile

from esn_dist.corpora import LoadedCorpus, Reason
from esn_dist.corpora.iemocap import IEMOCAP_LABELS, read_iemocap
from esn_dist.errors import UserError
from tests.corpora.miniature.iemocap import DIALOGUES, turns

EMOTIONS = ("anger", "frustration", "joy", "neutral", "sadness")
ALL = tuple(IEMOCAP_LABELS.values())


def written() -> list[tuple[str, str, int]]:
    return [turn for number, dialogue in enumerate(DIALOGUES) for turn in turns(dialogue, number)]


def labels(corpus: LoadedCorpus) -> dict[str, str]:
    excluded = {item.id: item.emotion for item in corpus.exclusions}
    return excluded | {item.id: item.emotion for item in corpus.utterances}


def test_every_turn_has_the_label_of_its_summary_line_and_its_wav(iemocap: Path) -> None:
    corpus = read_iemocap(iemocap, EMOTIONS)
    assert labels(corpus) == {name: IEMOCAP_LABELS[code] for name, code, _ in written()}
    assert corpus.notes == ()
    for item, (name, _, samples) in ((i, t) for i in corpus.utterances for t in written() if t[0] == i.id):
        assert item.path == iemocap / f"Session{name[4]}/sentences/wav/{name[:-5]}/{name}.wav"
        assert soundfile.info(str(item.path)).frames == samples


def test_the_miniature_s_wavs_have_the_bytes_of_the_release(iemocap: Path) -> None:
    clip = iemocap / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"
    assert clip.stat().st_size == 62_302
    assert clip.read_bytes()[:4] == b"RIFF"


def test_joy_is_hap_alone_unless_exc_is_merged_by_the_setting(iemocap: Path) -> None:
    codes = Counter(code for _, code, _ in written())
    alone, merged = (
        Counter(u.emotion for u in read_iemocap(iemocap, EMOTIONS, excited_is_joy=setting).utterances)
        for setting in (False, True)
    )
    assert alone["joy"] == codes["hap"]
    assert merged["joy"] == codes["hap"] + codes["exc"]
    excluded = read_iemocap(iemocap, EMOTIONS).exclusions
    assert {item.reason for item in excluded} == {Reason.LABEL_EXCLUDED}
    assert Counter(item.emotion for item in excluded)["excitement"] == codes["exc"]
    assert Counter(item.emotion for item in excluded)["no agreement"] == codes["xxx"]


def test_the_speaker_is_the_last_letter_and_not_the_actor_with_the_markers(iemocap: Path) -> None:
    corpus = read_iemocap(iemocap, ALL)
    speakers = {item.id: item.speaker for item in corpus.utterances}
    assert speakers["Ses01F_impro01_M002"] == "Ses01M"
    assert speakers["Ses05M_script01_1b_F000"] == "Ses05F"
    assert set(speakers.values()) == {f"Ses0{session}{sex}" for session in range(1, 6) for sex in "FM"}
    assert {item.split for item in corpus.utterances} == {f"Session{session}" for session in range(1, 6)}


def test_take_b_is_not_mistaken_for_the_take_whose_name_begins_it(iemocap: Path) -> None:
    paths = {item.id: item.path for item in read_iemocap(iemocap, ALL).utterances}
    assert paths["Ses05M_script01_1_F000"].parent.name == "Ses05M_script01_1"
    assert paths["Ses05M_script01_1b_F000"].parent.name == "Ses05M_script01_1b"


def test_raters_files_are_not_entered_even_where_they_look_like_summaries(iemocap: Path) -> None:
    before = labels(read_iemocap(iemocap, EMOTIONS))
    wrong = "[6.2901 - 8.2357]\tSes01F_impro01_F000\tang\t[2.5000, 2.5000, 2.5000]\n"
    for folder in ("Attribute", "Categorical", "Self-evaluation"):
        (iemocap / "Session1/dialog/EmoEvaluation" / folder / "Ses01F_impro01.txt").write_text(wrong)
    assert labels(read_iemocap(iemocap, EMOTIONS)) == before


def test_appledouble_files_are_neither_labels_nor_audio(iemocap: Path) -> None:
    stubs = list(iemocap.glob("Session*/**/._Ses*"))
    assert len(stubs) == 3 * len(DIALOGUES)
    wrong = "[6.2901 - 8.2357]\tSes01F_impro01_F000\tsad\t[2.5000, 2.5000, 2.5000]\n"
    (iemocap / "Session1/dialog/EmoEvaluation/._Ses01F_impro01.txt").write_text(wrong)
    corpus = read_iemocap(iemocap, EMOTIONS)
    assert labels(corpus)["Ses01F_impro01_F000"] == IEMOCAP_LABELS["neu"]
    assert not any(item.path.name.startswith(".") for item in corpus.utterances)


def test_a_turn_without_dimensional_ratings_keeps_its_class(iemocap: Path) -> None:
    text = (iemocap / "Session3/dialog/EmoEvaluation/Ses03M_impro07.txt").read_bytes()
    blocks = text.split(b"\n\n")
    assert all((b"A-E3" in block) == (b"_F0" in block) for block in blocks[1:] if block.strip())
    assert {name for name, _, _ in turns("Ses03M_impro07", 5)} <= labels(read_iemocap(iemocap, EMOTIONS)).keys()


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_line_ends_change_nothing(iemocap: Path, end: bytes) -> None:
    before = read_iemocap(iemocap, EMOTIONS)
    for file in iemocap.glob("Session*/dialog/EmoEvaluation/Ses*.txt"):
        file.write_bytes(end.join(file.read_bytes().splitlines()))
    assert read_iemocap(iemocap, EMOTIONS) == before


def test_the_parent_a_new_name_and_a_link_lead_to_the_same_utterances(iemocap: Path, tmp_path: Path) -> None:
    before = labels(read_iemocap(iemocap, EMOTIONS))
    moved = tmp_path / "Daten für später" / "IEMOCAP (1)"
    moved.parent.mkdir()
    iemocap.rename(moved)
    link = tmp_path / "link"
    os.symlink(moved, link)
    os.symlink(moved.parent, moved / "up")  # a link back up ends nowhere
    for path in (moved, moved.parent, link):
        assert labels(read_iemocap(path, EMOTIONS)) == before
    assert read_iemocap(moved.parent, EMOTIONS).root == moved


def test_missing_sessions_and_malformed_summary_lines_are_noted(iemocap: Path) -> None:
    (iemocap / "Session4").rename(iemocap / "elsewhere")
    with (iemocap / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt").open("a") as file:
        file.write("[99.0 - 98\tSes01F_impro01_F099\n")
    notes = read_iemocap(iemocap, EMOTIONS).notes
    assert notes[0] == "only Session1, Session2, Session3, Session5 of 5 sessions are here"
    assert "1 lines look like a summary" in notes[1] and "Ses01F_impro01.txt:" in notes[1]


def test_two_labels_for_one_utterance_are_refused(iemocap: Path) -> None:
    wrong = "[6.2901 - 8.2357]\tSes01F_impro01_F000\tsad\t[2.5000, 2.5000, 2.5000]\n"
    (iemocap / "Session1/dialog/EmoEvaluation/Ses01F_impro99.txt").write_text(wrong)
    with pytest.raises(UserError, match="Ses01F_impro01_F000 has another label"):
        read_iemocap(iemocap, EMOTIONS)


def test_the_error_for_another_folder_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no IEMOCAP release here") as caught:
        read_iemocap(tmp_path, EMOTIONS)
    assert "dialog/EmoEvaluation" in str(caught.value)


def test_the_combined_file_of_all_summaries_changes_nothing(iemocap: Path) -> None:
    before = read_iemocap(iemocap, EMOTIONS)
    (iemocap / "IEMOCAP_EmoEvaluation.txt").rename(iemocap / "Session1/dialog/EmoEvaluation/IEMOCAP_EmoEvaluation.txt")
    assert read_iemocap(iemocap, EMOTIONS) == before
