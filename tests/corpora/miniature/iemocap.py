"""IEMOCAP's full release in small: nine dialogues of the five sessions, with every trap that it is known for."""

from __future__ import annotations

from pathlib import Path

from tests.corpora.miniature.speech import write_wav

CODES = ("neu", "fru", "ang", "sad", "hap", "exc", "xxx", "sur", "fea", "oth", "dis", "neu")
DIALOGUES = (
    "Ses01F_impro01",
    "Ses01F_script01_1",
    "Ses02M_impro08",
    "Ses03M_impro05a",  # there is no Ses03M_impro05
    "Ses03M_impro05b",
    "Ses03M_impro07",
    "Ses04F_script02_2",
    "Ses05M_script01_1",
    "Ses05M_script01_1b",  # a prefix of this name is another dialogue
)
APPLE_DOUBLE = b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(188)


def write_iemocap(root: Path) -> Path:
    """Write the release below `root` and return `root`."""
    for number, dialogue in enumerate(DIALOGUES):
        _write_dialogue(root / f"Session{dialogue[4]}", dialogue, number)
    (root / "README.txt").write_text("IEMOCAP\n")
    (root / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (root / "Documentation").mkdir()
    files = sorted(root.glob("Session*/dialog/EmoEvaluation/Ses*.txt"))
    lines = [line for path in files for line in path.read_bytes().splitlines() if line.startswith(b"[")]
    # It circulates next to the release, all summaries in one file.
    (root / "IEMOCAP_EmoEvaluation.txt").write_bytes(b"\n".join(lines) + b"\n")
    return root


def turns(dialogue: str, number: int) -> list[tuple[str, str, int]]:
    """Name, label and samples of each turn of the dialogue with this place in `DIALOGUES`."""
    written = []
    for turn in range(12):
        name = f"{dialogue}_{'FM'[turn % 2]}{turn // 2:03d}"
        # The published facts of one real file: 62,302 bytes, 1.9456 s.
        samples = 31_129 if name == "Ses01F_impro01_F000" else 4_800 + 160 * turn
        written.append((name, CODES[(turn + number) % 12], samples))
    return written


def _write_dialogue(session: Path, dialogue: str, number: int) -> None:
    dialog, sentences = session / "dialog", session / "sentences"
    evaluation = dialog / "EmoEvaluation"
    for rater in ("Attribute", "Categorical", "Self-evaluation"):
        (evaluation / rater).mkdir(parents=True, exist_ok=True)
    for folder in (dialog / "transcriptions", dialog / "wav", dialog / "avi" / "DivX", sentences / "ForcedAlignment"):
        folder.mkdir(parents=True, exist_ok=True)
    everyone = turns(dialogue, number)
    end = b"\r\n" if number == 1 else b"\n"
    (evaluation / f"{dialogue}.txt").write_bytes(end.join(_evaluation(dialogue, everyone)))
    _write_raters(evaluation, dialogue, everyone)
    _write_transcription(dialog / "transcriptions" / f"{dialogue}.txt", everyone)
    for name, _, samples in everyone:
        write_wav(sentences / "wav" / dialogue / f"{name}.wav", samples, pitch=120 if name[-4] == "M" else 210)
    write_wav(dialog / "wav" / f"{dialogue}.wav", 16_000)
    (dialog / "avi" / "DivX" / f"{dialogue}.avi").write_bytes(b"RIFF")
    for stub in (evaluation / f"._{dialogue}.txt", dialog / "wav" / f"._{dialogue}.wav",
                 sentences / "wav" / dialogue / f"._{everyone[0][0]}.wav", evaluation / ".DS_Store"):  # fmt: skip
        stub.write_bytes(APPLE_DOUBLE)


def _evaluation(dialogue: str, everyone: list[tuple[str, str, int]]) -> list[bytes]:
    """Lines of the label file; how many raters spoke differs from turn to turn."""
    lines = [b"% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", b""]
    start = 6.2901
    for turn, (name, code, samples) in enumerate(everyone):
        stamp = f"[{start:.4f} - {start + samples / 16_000:.4f}]"
        lines.append(f"{stamp}\t{name}\t{code}\t[2.5000, 2.5000, 2.5000]".encode())
        lines += [b"C-E2:\tNeutral;\t()", b"C-E3:\tNeutral; Anger;\t()"]
        lines += [b"C-E4:\tOther;\t(d\xe9contenanc\xe9, [so to speak])"] * (turn % 3)  # Latin-1, and a bracket inside
        lines.append(f"C-{name[-4]}1:\tNeutral;\t(curious)".encode())
        if not (dialogue == "Ses03M_impro07" and name[-4] == "M"):  # 27 utterances have no dimensional ratings
            lines += [b"A-E3:\tval 3; act 2; dom  2;\t()", b"A-E4:\tval 2.5; act 3; dom  ;\t()"]
        lines.append(b"")
        start += 3.7199
    return lines


def _write_raters(evaluation: Path, dialogue: str, everyone: list[tuple[str, str, int]]) -> None:
    """Single raters' opinions, which contradict the summary."""
    text = "".join(f"{name} :Frustration; :Anger; ()\n" for name, _, _ in everyone)
    (evaluation / "Categorical" / f"{dialogue}_e2_cat.txt").write_text(text)
    (evaluation / "Categorical" / f"{dialogue}_e2_cat.anvil").write_text("<annotation/>")
    (evaluation / "Attribute" / f"{dialogue}_e3_atr.txt").write_text(text.replace("Frustration", "act 4"))
    (evaluation / "Self-evaluation" / f"{dialogue}_f1_cat.txt").write_text(text)


def _write_transcription(path: Path, everyone: list[tuple[str, str, int]]) -> None:
    """More lines than utterances: MXX turns have neither label nor wav, bare ones neither name nor time."""
    lines = [f"{name} [006.2901-008.2357]: Excuse me." for name, _, _ in everyone]
    lines += [f"{path.stem}_MXX0 [009.0000-009.5000]: Mm.", "M: Yeah."]
    path.write_text("\n".join(lines) + "\n")
