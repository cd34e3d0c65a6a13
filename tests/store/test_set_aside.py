"""What a scan passed over is kept with its reason, whatever its label: most of a real corpus has one nobody studies."""

from __future__ import annotations

from pathlib import Path

from esn_dist.store.create import add_corpus, create_root
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import read_set_aside, read_utterances
from esn_dist.store.tables import SetAsideTable, UtteranceTable

EMOTIONS = ("joy", "anger")
ASIDE = SetAsideTable.from_rows(
    [
        ("u8", "no agreement", "label excluded", "labelled 'no agreement'"),
        ("u9", "anger", "silent", "peaks at digital zero"),
        ("u10", "Ärger", "label excluded", "labelled 'Ärger'"),
    ]
)


def test_labels_that_are_not_studied_are_kept_and_codes_of_emotions_stay_positions(tmp_path: Path) -> None:
    folder = StoreFolder(tmp_path)
    create_root(folder, {"sweep": "s"})
    rows = [("u1", "s1", "anger", (1, 2), "test", "a.wav", 16_000, "0" * 64)]
    evaluation, nobody = UtteranceTable.from_rows(rows), UtteranceTable.from_rows([])
    for _ in range(2):  # the second time the stored tables are compared
        add_corpus(folder, "c", EMOTIONS, evaluation, nobody, ASIDE, {})
    assert read_set_aside(folder, "c") == ASIDE
    assert read_utterances(folder, "c", "evaluation") == evaluation
