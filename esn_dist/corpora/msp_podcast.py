"""MSP-Podcast, releases 1.8 to 2.0: consensus labels in every spelling, all audio in one flat folder.

Opens no audio file. Splits have the same name in all releases: Train, Development, Test1, Test2 (Test3 has no labels).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from esn_dist.corpora.folders import abbreviated, files_in, folders_below, innermost
from esn_dist.corpora.loader import CorpusLoader, SplitCounts
from esn_dist.corpora.table import Columns, read_table, require_unique
from esn_dist.corpora.utterance import LoadedCorpus, Utterance, keep_emotions
from esn_dist.errors import UserError
from esn_dist.sweep.base_spec import Name, identity, runtime
from esn_dist.sweep.corpus_spec import SHARED_EMOTIONS, CorpusSpec
from esn_dist.sweep.corpus_types import PublishedCounts

MSP_LABELS = {
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
MSP_SPLITS = {"train": "Train", "development": "Development", "validation": "Development"}
MSP_SPLITS |= {f"test{number}": f"Test{number}" for number in (1, 2, 3)}
CONSENSUS_TABLES = ("labels_consensus.csv", "labels_concensus.csv")
"""As spelt from 1.10 on, and before."""

_COLUMNS = Columns(("FileName", "EmoClass", "SpkrID", "Split_Set"), blank=frozenset({"EmoClass", "SpkrID"}))
_EXPECTED = f"a folder that contains Labels/{CONSENSUS_TABLES[0]} and Audios/ (or Audio/)"


class MspPodcastCorpus(CorpusSpec):
    """MSP-Podcast 1.8 – 2.0. Splits: Train, Development, Test1, Test2. Paper: 500 for evaluation, caps of 1,000."""

    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "evaluation": {"per_emotion": 500, "splits": ("Test1",)},
        "identification": {"cap": 1000, "splits": ("Train",)},
    }

    type: Literal["msp-podcast"] = identity()
    path: Path = runtime(
        description="its folder, relative to this file: the one that contains Labels and Audios (or Audio), "
        "or its parent"
    )
    emotions: tuple[Name, ...] = identity(
        (*SHARED_EMOTIONS, "surprise"), min_length=2, max_length=9, description="labels studied"
    )


def read_msp_podcast(path: Path, emotions: Sequence[str]) -> LoadedCorpus:
    """The utterances of the consensus table, in its order.

    Args:
        path: the release's folder, or its parent.

    Raises:
        UserError: no consensus table, a column or cell missing in it, a duplicate file, an emotion that no row has.
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
        require_unique(lines, file, line, table, "FileName")
        splits[split] += 1
        utterances.append(
            Utterance(
                id=file.rpartition(".")[0],
                speaker="" if speaker.casefold() == "unknown" else speaker,
                emotion=MSP_LABELS.get(label.upper(), label),
                split=_split(split),
                path=files.get(file, expected) / file,
            )
        )
    all_notes = (*notes, *_notes(table, folders, splits, utterances, files.keys() - lines.keys()))
    return keep_emotions(utterances, emotions, where=str(table), root=path, notes=all_notes)


def count_msp_podcast(path: Path) -> SplitCounts:
    """Rows by (split, emotion), from the consensus table alone, in a tenth of the time that loading takes."""
    rows, _ = read_table(consensus_table(path), _COLUMNS)
    counts: SplitCounts = Counter()
    for (split, label), count in Counter((split, label) for _, (_, label, _, split) in rows).items():
        counts[_split(split), MSP_LABELS.get(label.upper(), label)] += count
    return counts


def consensus_table(path: Path) -> Path:
    """The nearest table of labels; those of older releases are skipped.

    Raises:
        UserError: no table.
    """
    for folder in folders_below(path, 3, lambda name: _is_previous(name) or _is_audio(name)):
        names = {name.lower(): name for name in files_in(folder)}
        for table in CONSENSUS_TABLES:
            if table in names:
                return folder / names[table]
    raise UserError(f"no {CONSENSUS_TABLES[0]}", where=str(path), expected=_EXPECTED)


def _audio_folders(path: Path) -> list[Path]:
    """The folders of audio, the nearest first; of a folder nested in one of its own name, the inner one."""
    folders = [folder for folder in folders_below(path, 2, _is_previous) if folder != path and _is_audio(folder.name)]
    return [innermost(folder) for folder in folders if folder.parent not in folders]


def _is_audio(name: str) -> bool:
    return name.lower() in ("audio", "audios")


def _is_previous(name: str) -> bool:
    """Whether a folder contains an older release's labels and withdrawn audio."""
    return name.lower().startswith("previous_release")


def _split(name: str) -> str:
    return MSP_SPLITS.get(name.lower().replace(" ", "").replace("_", ""), name)


def _notes(
    table: Path, folders: Sequence[Path], splits: Counter[str], utterances: Sequence[Utterance], unlisted: set[str]
) -> list[str]:
    notes = []
    if table.name.lower() != CONSENSUS_TABLES[0]:
        notes.append(f"labels are in {table.name}, as spelt up to release 1.8")
    if not folders:
        notes.append("no folder Audios or Audio found: every clip will be missing")
    if len(folders) > 1:
        notes.append(f"audio in {len(folders)} folders: {', '.join(map(str, folders))}")
    if renamed := {name for name in splits if _split(name) != name}:
        notes.append("splits renamed: " + ", ".join(f"{name} → {_split(name)}" for name in sorted(renamed)))
    if foreign := {name for name in splits if _split(name) not in MSP_SPLITS.values()}:
        notes.append(f"splits of no known release: {abbreviated(foreign)}")
    if unknown := Counter(utterance.split for utterance in utterances if not utterance.speaker):
        where = ", ".join(f"{split} {count:,}" for split, count in sorted(unknown.items()))
        notes.append(f"utterances of unknown speaker: {unknown.total():,} ({where}); they may be speakers of any split")
    if audio := {name for name in unlisted if name.lower().endswith(".wav")}:
        notes.append(
            f"wavs without a row: {len(audio):,} ({abbreviated(audio, 3)}); expected for Test3, whose labels are secret"
        )
    return notes


# Table VI of the corpus paper, as transcribed by a reader; Development and Test1 are known as a sum only.
_PUBLISHED = PublishedCounts(
    "release 2.0",
    {
        "Train": {"anger": 22609, "joy": 37048, "neutral": 51149, "sadness": 18256, "surprise": 3220},
        "Development+Test1": {"anger": 12713, "joy": 18435, "neutral": 20775, "sadness": 5392, "surprise": 2231},
        "Test2": {"anger": 538, "joy": 2801, "neutral": 6793, "sadness": 581, "surprise": 394},
    },
)
MSP_PODCAST = CorpusLoader(
    spec=MspPodcastCorpus,
    load=lambda spec, options: read_msp_podcast(spec.path, spec.emotions),
    count_labels=lambda spec: count_msp_podcast(spec.path),
    index_file=lambda spec: consensus_table(spec.path),
    published=_PUBLISHED,
)
