"""MSP-Podcast in small, in the layout of release 2.0; `write_old` gives the spellings of 1.8, on the same clips."""

from __future__ import annotations

import json
from pathlib import Path

from tests.corpora.miniature.speech import write_wav

HEADER = "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set"
CLASSES = "NHASUXOCDF"
SPLITS = ("Train", "Train", "Train", "Development", "Test1", "Test2")
ROWS = 120


def rows() -> list[list[str]]:
    """The consensus table. The first two rows are the real ones."""
    table = [
        ["MSP-PODCAST_0001_0008.wav", "N", "2.2", "4.0", "2.6", "30", "Male", "Test1"],
        ["MSP-PODCAST_0001_0009.wav", "N", "3.777778", "3.555556", "3.777778", "39", "Male", "Test1"],
    ]
    for number in range(2, ROWS):
        third = f"_{number:04d}" if number % 4 == 0 else ""
        unknown = number % 11 == 0
        speaker, gender = ("Unknown", "Unknown") if unknown else (str(30 + number % 13), "Female")
        label, split = CLASSES[number % 10], SPLITS[number // 10 % 6]
        table.append([f"MSP-PODCAST_{number:04d}_0001{third}.wav", label, "3.0", "4.0", "2.6", speaker, gender, split])
    return table


def write_msp_podcast(root: Path) -> Path:
    """Write release 2.0 below `root` and return `root`."""
    labels, audio = root / "Labels", root / "Audios"
    labels.mkdir(parents=True)
    table = rows()
    (labels / "labels_consensus.csv").write_text("\n".join([HEADER, *map(",".join, table)]) + "\n")
    (labels / "labels_consensus.json").write_text(json.dumps({row[0]: {"EmoClass": row[1]} for row in table}))
    (labels / "labels.txt").write_text(
        "MSP-PODCAST_0001_0008.wav; N; A:2.200000; V:4.000000; D:2.600000;\n"
        "WORKER0000001; Neutral; Neutral,Confused; A:1.000000; V:4.000000; D:1.000000;\n\n"
    )
    (root / "Partitions.txt").write_text("".join(f"{row[7]}; {row[0]}\n" for row in table))
    (root / "readme.txt").write_text("MSP-Podcast\n")
    for number, row in enumerate(table):
        write_wav(audio / row[0], 4_800 + 32 * number)
    for number in (1, 2, 3):  # Test3: audio without labels
        write_wav(audio / f"MSP-PODCAST_test3_{number:04d}.wav", 4_800)
    (audio / "._MSP-PODCAST_0001_0008.wav").write_bytes(b"\0\5\x16\7")
    _write_previous(root / "Previous_releases_information")
    return root


def write_old(root: Path) -> Path:
    """Turn a release 2.0 into one that is spelt as 1.8: misspelt table, Validation, and Audio as in 1.9."""
    new = root / "Labels" / "labels_consensus.csv"
    old = new.with_name("labels_concensus.csv")
    old.write_text(new.read_text().replace(",Development", ",Validation"))
    new.unlink()
    (root / "Audios").rename(root / "Audio")
    return root


def _write_previous(folder: Path) -> None:
    """Old labels, which contradict the new ones, and audio that was taken back."""
    (folder / "Labels").mkdir(parents=True)
    text = "\n".join([HEADER, *(",".join([row[0], "A", *row[2:]]) for row in rows())])
    (folder / "Labels" / "labels_consensus.csv").write_text(text + "\n")
    (folder / "labels_concensus.csv").write_text(text + "\n")
    write_wav(folder / "Audios" / "MSP-PODCAST_9999_0001.wav", 4_800)
