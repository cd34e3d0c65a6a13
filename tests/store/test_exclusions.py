"""Exclusions keep their label and reason, whatever the label: most labels of a real corpus are not studied."""

from __future__ import annotations

from pathlib import Path

from esn_dist.store.create import add_corpus, create_root
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import read_exclusions, read_utterances
from esn_dist.store.tables import ExclusionTable, UtteranceTable

EMOTIONS = ("joy", "anger")
EXCLUDED = ExclusionTable.from_rows(
    [
        ("u8", "no agreement", "label excluded", "labelled 'no agreement'"),
        ("u9", "anger", "silent", "peaks at digital zero"),
        ("u10", "Ärger", "label excluded", "labelled 'Ärger'"),
    ]
)


def test_exclusions_keep_labels_that_are_not_studied_and_emotions_keep_their_codes(tmp_path: Path) -> None:
    folder = StoreFolder(tmp_path)
    create_root(folder, {"sweep": "s"})
    rows = [("u1", "s1", "anger", (1, 2), "test", "a.wav", 16_000, "0" * 64)]
    evaluation, nobody = UtteranceTable.from_rows(rows), UtteranceTable.from_rows([])
    for _ in range(2):  # the second time the stored tables are compared
        add_corpus(folder, "c", EMOTIONS, evaluation, nobody, EXCLUDED, {})
    assert read_exclusions(folder, "c") == EXCLUDED
    assert read_utterances(folder, "c", "evaluation") == evaluation
