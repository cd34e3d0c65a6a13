"""MSP-Podcast, releases 1.8 to 2.0: the consensus labels under every spelling, the audio in its one flat folder.

Looks at no audio file. Splits have one name in all releases: Train, Development, Test1, Test2 (Test3 has no labels).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from esn_dist.corpora.folders import files_in, folders_below, shown, undoubled
from esn_dist.corpora.table import Columns, once, read_table
from esn_dist.corpora.utterance import Listing, Utterance, keep_emotions
from esn_dist.errors import UserError

LABELS = {
    "A": "anger",
    "C": "contempt",
    "D": "disgust",
    "F": "fear",
    "H": "joy",
    "N": "neutral",
    "O": "other",
    "S": "sadness",
    "U": "surprise",
    "X": "no agreement",
    "": "no label",
}
SPLITS = {"train": "Train", "development": "Development", "validation": "Development"}
SPLITS |= {f"test{number}": f"Test{number}" for number in (1, 2, 3)}
TABLES = ("labels_consensus.csv", "labels_concensus.csv")
"""As spelt from 1.10 on, and before."""

_COLUMNS = Columns(("FileName", "EmoClass", "SpkrID", "Split_Set"), blank=frozenset({"EmoClass", "SpkrID"}))
_EXPECTED = f"a folder that holds Labels/{TABLES[0]} and Audios/ (or Audio/)"


def read_msp_podcast(path: Path, emotions: Sequence[str]) -> Listing:
    """The utterances of the consensus table, in its order.

    Args:
        path: the release's folder, or its parent.

    Raises:
        UserError: no consensus table, a column or cell missing in it, a file twice, an emotion that no row has.
    """
    table = consensus_table(path)
    folders = _audio_folders(path)
    files = {name: folder for folder in reversed(folders) for name in files_in(folder)}
    expected = folders[0] if folders else path / "Audios"
    rows, notes = read_table(table, _COLUMNS)
    lines: dict[str, int] = {}
    utterances: list[Utterance] = []
    splits: Counter[str] = Counter()
    for line, (name, label, speaker, split) in rows:
        file = name if "." in name else f"{name}.wav"
        once(lines, file, line, table, "FileName")
        splits[split] += 1
        utterances.append(
            Utterance(
                id=file.rpartition(".")[0],
                speaker="" if speaker.casefold() == "unknown" else speaker,
                emotion=LABELS.get(label.upper(), label),
                split=_split(split),
                path=files.get(file, expected) / file,
            )
        )
    said = (*notes, *_notes(table, folders, splits, utterances, files.keys() - lines.keys()))
    return keep_emotions(utterances, emotions, where=str(table), root=path, notes=said)


def count_msp_podcast(path: Path) -> Counter[tuple[str, str]]:
    """Rows by (split, emotion): the consensus table alone, in a tenth of the time that a listing takes."""
    rows, _ = read_table(consensus_table(path), _COLUMNS)
    counts: Counter[tuple[str, str]] = Counter()
    for (split, label), count in Counter((split, label) for _, (_, label, _, split) in rows).items():
        counts[_split(split), LABELS.get(label.upper(), label)] += count
    return counts


def consensus_table(path: Path) -> Path:
    """The table of labels, the nearest first; older releases' are passed over.

    Raises:
        UserError: there is none.
    """
    for folder in folders_below(path, 3, lambda name: _is_previous(name) or _is_audio(name)):
        names = {name.lower(): name for name in files_in(folder)}
        for table in TABLES:
            if table in names:
                return folder / names[table]
    raise UserError(f"no {TABLES[0]}", where=str(path), expected=_EXPECTED)


def _audio_folders(path: Path) -> list[Path]:
    """The folders of audio, the nearest first; in each the doubled one that hand-made archives unpack to."""
    found = [folder for folder in folders_below(path, 2, _is_previous) if folder != path and _is_audio(folder.name)]
    return [undoubled(folder) for folder in found if folder.parent not in found]


def _is_audio(name: str) -> bool:
    return name.lower() in ("audio", "audios")


def _is_previous(name: str) -> bool:
    """Whether a folder holds an older release's labels and the audio that was taken back."""
    return name.lower().startswith("previous_release")


def _split(name: str) -> str:
    return SPLITS.get(name.lower().replace(" ", "").replace("_", ""), name)


def _notes(
    table: Path, folders: Sequence[Path], splits: Counter[str], utterances: Sequence[Utterance], spare: set[str]
) -> list[str]:
    notes = []
    if table.name.lower() != TABLES[0]:
        notes.append(f"labels are in {table.name}, as spelt up to release 1.8")
    if not folders:
        notes.append("no folder Audios or Audio found: every clip will be missing")
    if len(folders) > 1:
        notes.append(f"audio in {len(folders)} folders: {', '.join(map(str, folders))}")
    if renamed := {name for name in splits if _split(name) != name}:
        notes.append("splits renamed: " + ", ".join(f"{name} → {_split(name)}" for name in sorted(renamed)))
    if foreign := {name for name in splits if _split(name) not in SPLITS.values()}:
        notes.append(f"splits of no known release: {shown(foreign)}")
    if unknown := Counter(utterance.split for utterance in utterances if not utterance.speaker):
        where = ", ".join(f"{split} {count:,}" for split, count in sorted(unknown.items()))
        notes.append(f"utterances of unknown speaker: {unknown.total():,} ({where}); it may be anyone, of any split")
    if audio := {name for name in spare if name.lower().endswith(".wav")}:
        found = f"{len(audio):,} ({shown(audio, 3)})"
        notes.append(f"wavs without a row: {found}; normal for Test3, whose labels are kept back")
    return notes
