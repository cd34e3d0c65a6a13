"""A store says which of its studies searched, and for what, without the YAML of its runs."""

from __future__ import annotations

from pathlib import Path

from esn_dist.store.folder import StoreFolder
from esn_dist.store.run_log import RunLog
from esn_dist.sweep.plan import plan
from esn_dist.sweep.spec import Sweep
from esn_dist.sweep.study_log import logged_studies

SWEEP = {
    "name": "searched",
    "seed": 1,
    "models": ["tiny-qwen2.5-omni"],
    "corpora": [{"name": "studio", "type": "synthetic", "condition": "studio", "emotions": ["anger", "joy"]}],
    "studies": {
        "table": {"selectors": ["MAD"], "fractions": ["1 %"], "interventions": ["deactivate"]},
        "smallest": {
            "selectors": ["MAD", "ConAct"],
            "fractions": ["1 %", "2 %", "4 %"],
            "interventions": ["deactivate", {"type": "steer", "alpha": 0.5}],
            "reach": 0.9,
        },
    },
}


def test_each_searched_condition_is_logged_once_and_read_back(tmp_path: Path) -> None:
    sweep = Sweep.model_validate(SWEEP)
    studies = logged_studies(sweep, plan(sweep))
    log = RunLog(StoreFolder(tmp_path))
    log.write_studies(studies)
    assert log.studies() == tuple(studies)
    table, smallest = studies
    assert (table.reach, table.conditions) == (None, ())
    assert (smallest.reach, smallest.fractions) == (0.9, ("0.01", "0.02", "0.04"))
    searched = [(c.selector, c.intervention, c.alpha) for c in smallest.conditions]
    assert sorted(searched) == [
        ("ConAct", "deactivate", -1.0), ("ConAct", "steer", 0.5), ("MAD", "deactivate", -1.0), ("MAD", "steer", 0.5),
    ]  # fmt: skip
    assert {(c.model, c.corpus, c.source_corpus) for c in smallest.conditions} == {
        ("tiny-qwen2.5-omni", "studio", "studio")
    }
