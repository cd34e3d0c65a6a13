"""MELD.Raw in small, as the archives unpack: its csv dialect to the byte, its clips, and every known trap."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.corpora.miniature.speech import write_mp4

HEADER = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime"
FIRST_ROW = (
    "1,also I was the point person on my company’s transition from the KL-5 to GR-6 system.,Chandler,neutral,neutral,"
    '0,0,8,21,"00:16:16,059","00:16:21,731"'
)
FOLDERS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
EMOTIONS = ("neutral", "joy", "anger", "sadness", "surprise", "disgust", "fear")
SENTIMENTS = {"neutral": "neutral", "joy": "positive", "surprise": "positive"}
LONG = 2_860  # frames: 61.0 s, over the limit as test dia38_utt4 (305 s) is

# (dialogue, utterance): numbers restart in each split, skip, and do not always begin at 0.
KEYS: Mapping[str, Sequence[tuple[int, int]]] = {
    "train": [(0, u) for u in range(8)] + [(61, u) for u in range(3, 17) if u != 9] + [(71, 0), (125, 3)],
    "dev": [(0, u) for u in range(7)] + [(110, u) for u in range(8)],
    "test": [(0, u) for u in range(7)] + [(1, u) for u in range(7)] + [(38, 4)],
}
STUB = b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(188)


class Line(NamedTuple):
    """One row of a csv file."""

    number: int
    utterance: str
    speaker: str
    emotion: str
    dialogue: int
    turn: int
    start: str
    end: str

    def cells(self) -> list[str]:
        sentiment = SENTIMENTS.get(self.emotion, "negative")
        numbers = [str(self.dialogue), str(self.turn), "8", "21"]
        return [str(self.number), self.utterance, self.speaker, self.emotion, sentiment, *numbers, self.start, self.end]


def lines(split: str) -> list[Line]:
    """The rows of a split; the first of train is the real one."""
    rows = []
    for place, (dialogue, turn) in enumerate(KEYS[split]):
        emotion = EMOTIONS[place % 7]
        speaker = ("Chandler", "Rachel", "Richard’s Date", "Joey", "All", "Ross and Joey")[place % 6]
        text = ("Oh my God!", 'He said, "No way…"', "Café — you’re kidding", "Yeah, I know")[place % 4]
        # Sr No. jumps and repeats; a quarter of the hours have one digit; some fractions have two.
        number = 1 + place + (place > 4) * 3 - (place > 10) * 2
        start = ("0:04:54,210", "00:16:16,05", "00:16:16,059", "00:16:17,100")[place % 4]
        rows.append(Line(number, text, speaker, emotion, dialogue, turn, start, "00:16:21,731"))
    if split == "train":
        text = "also I was the point person on my company’s transition from the KL-5 to GR-6 system."
        rows[0] = Line(1, text, "Chandler", "neutral", 0, 0, "00:16:16,059", "00:16:21,731")
    return rows


def table(split: str) -> str:
    """The csv as Python's default dialect writes it, which is byte for byte how the authors' files are."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(HEADER.split(","))
    writer.writerows(line.cells() for line in lines(split))
    return buffer.getvalue()


def write_meld(root: Path) -> Path:
    """Write MELD.Raw as it unpacks in place: clip folders and csv files at the root."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "README.txt").write_text("MELD\n")
    for split, folder in FOLDERS.items():
        (root / f"{split}_sent_emo.csv").write_bytes(table(split).encode())
        for place, (dialogue, turn) in enumerate(KEYS[split]):
            # One clip in nine is stereo, the others are 5.1.
            write_mp4(root / folder / f"dia{dialogue}_utt{turn}.mp4", 14 + place, 2 if place % 9 == 8 else 6)
    train, dev, test = (root / FOLDERS[split] for split in ("train", "dev", "test"))
    write_mp4(train / "dia71_utt0.mp4", 3)  # 0.064 s
    (train / "dia125_utt3.mp4").write_bytes((train / "dia125_utt3.mp4").read_bytes()[:2_000])
    (dev / "dia110_utt7.mp4").unlink()
    write_mp4(dev / "dia49_utt4.mp4", 20)  # has no row
    write_mp4(test / "dia38_utt4.mp4", LONG, 2)
    for turn in (1, 2):  # re-cuts next to the plain clips
        write_mp4(test / f"final_videos_testdia1_utt{turn}.mp4", 40)
    (test / "dia1_utt3.mp4").rename(test / "final_videos_testdia1_utt3.mp4")  # and one without a plain clip
    for stub in ("._dia0_utt0.mp4", "._final_videos_testdia1_utt1.mp4"):
        (test / stub).write_bytes(STUB)
    (root / "._output_repeated_splits_test").write_bytes(STUB)
    return root
