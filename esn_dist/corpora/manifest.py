"""Anyone's own corpus: a CSV, JSONL or Parquet table of utterances, every mistake in it named with its line.

Looks at no audio file: a path that leads nowhere is found by the scan. Paths are relative to the manifest's folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from esn_dist.corpora.table import Columns, once, read_table
from esn_dist.corpora.utterance import Listing, Utterance, keep_emotions

REQUIRED = ("id", "path", "emotion")
OPTIONAL = ("speaker", "split")


def count_manifest(path: Path, columns: Mapping[str, str], labels: Mapping[str, str]) -> Counter[tuple[str, str]]:
    """Rows by (split, emotion), in a third of the time that a listing takes."""
    rows, _ = read_table(path, Columns(REQUIRED, OPTIONAL, columns))
    return Counter((split, labels.get(label, label)) for _, (_, _, label, _, split) in rows)


def read_manifest(
    path: Path,
    emotions: Sequence[str],
    *,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Listing:
    """The utterances of a manifest in its own order; labels outside `emotions` are set aside.

    Columns `id`, `path`, `emotion`; optionally `speaker`, `split` ("" where absent); others are ignored.

    Args:
        columns: what the table calls these, where it calls them otherwise.
        labels: the table's labels → emotions; a label that is not in it stands for itself.

    Raises:
        UserError: no such file, not text, a column or cell missing, a duplicate id, an emotion that no row has.
    """
    rows, notes = read_table(path, Columns(REQUIRED, OPTIONAL, columns or {}))
    meaning, folder = labels or {}, path.parent
    utterances: list[Utterance] = []
    lines: dict[str, int] = {}
    for line, (id, audio, label, speaker, split) in rows:
        once(lines, id, line, path, "id")
        utterances.append(Utterance(id, speaker, meaning.get(label, label), split, folder / audio))
    return keep_emotions(utterances, emotions, where=str(path), root=folder, notes=notes)
