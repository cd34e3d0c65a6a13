"""Transfer between corpora of different emotions (Fig. 5): six directions, the masks of each source, shared effects."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from esn_dist.analysis.measured_effects import EffectSettings, measure
from esn_dist.analysis.summary import effect_rows
from esn_dist.sweep.keys import Cell
from esn_dist.sweep.load import load_sweep
from esn_dist.sweep.plan import Plan, plan

SHARED = {"anger", "joy", "neutral", "sadness"}
SWEEP = """\
name: transfer
seed: 1
models: [tiny-qwen2.5-omni]
corpora:
  - {name: iemocap, type: iemocap, path: a}
  - {name: meld, type: meld, path: b}
  - {name: msp, type: msp-podcast, path: c}
studies:
  within: {selectors: [ConAct], interventions: [deactivate]}
  transfer: {selectors: [RND, ConAct], seeds: 2, interventions: [deactivate], sources: [iemocap, meld, msp]}
"""


@pytest.fixture
def planned(tmp_path: Path) -> Plan:
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    return plan(load_sweep(tmp_path / "sweep.yaml"))


def test_six_directions_use_the_masks_that_the_sources_have_anyway(planned: Plan) -> None:
    transfers = {(c.mask.corpus, c.corpus) for c in planned.studies["transfer"] if c.mask and c.mask.corpus}
    assert set(permutations(("iemocap", "meld", "msp"), 2)) < transfers
    within = {cell.mask for cell in planned.studies["within"] if cell.mask}
    assert {mask for mask in planned.masks if mask.corpus} == within
    assert len(within) == 3 * 5
    # 3 baselines, 3 x 15 masks, 3 x 2 seeds of RND: the study `within` adds nothing.
    assert len(planned.cells) == 3 + 3 * 15 + 3 * 2


def answers(cells: tuple[Cell, ...], corpus: str, emotions: tuple[str, ...]) -> xr.Dataset:
    """Each cell gives the correct option, but never the emotion of its mask where that is an option."""
    labels = np.repeat(np.arange(5), 4)
    sources = [cell.mask.emotion if cell.mask else "" for cell in cells]
    lost = np.array([emotions.index(source) if source in emotions else -1 for source in sources])
    answer = np.where(labels == lost[:, None], (labels + 1) % 5, labels)
    logprob = np.log(np.where(answer[:, :, None] == np.arange(5), 0.9, 0.025))
    coords = {
        "selector": [str(cell.mask.selector) if cell.mask else "" for cell in cells],
        "intervention": [str(cell.intervention) for cell in cells],
        "source_corpus": [cell.mask.corpus if cell.mask else "" for cell in cells],
        "source_emotion": sources,
        "fraction": [float(cell.mask.fraction) if cell.mask else np.nan for cell in cells],
        "mask_seed": [cell.mask.seed if cell.mask else -1 for cell in cells],
        "alpha": [cell.alpha for cell in cells],
    }
    return xr.Dataset(
        {
            "answer": (("cell", "utterance"), answer.astype(np.int8)),
            "outcome": (("cell", "utterance"), np.ones_like(answer, np.uint8)),
            "logprob": (("cell", "utterance", "emotion"), logprob.astype(np.float32)),
        },
        coords={
            **{name: ("cell", values) for name, values in coords.items()},
            "cell": [cell.id for cell in cells],
            "utterance": [f"u{number}" for number in range(20)],
            "label": ("utterance", [emotions[label] for label in labels]),
            "speaker": ("utterance", ["s"] * 20),
            "emotion": list(emotions),
        },
        attrs={"model": "tiny-qwen2.5-omni", "corpus": corpus},
    )


def test_effects_of_a_transfer_are_over_the_shared_emotions_alone(planned: Plan) -> None:
    emotions = {
        "iemocap": ("anger", "frustration", "joy", "neutral", "sadness"),
        "meld": ("anger", "joy", "neutral", "sadness", "surprise"),
        "msp": ("anger", "joy", "neutral", "sadness", "surprise"),
    }
    datasets = [answers(planned.cells_of("tiny-qwen2.5-omni", c), c, e) for c, e in emotions.items()]
    rows = {
        (row.condition.source_corpus, row.corpus): row
        for row in effect_rows([measure(dataset, EffectSettings(draws=20)) for dataset in datasets])
        if row.condition.selector == "ConAct"
    }
    for source, target in permutations(emotions, 2):
        row = rows[source, target]
        assert set(row.sources) == set(emotions[source]) & set(emotions[target])
        assert (row.self_effect.point, row.cross_effect.point, row.gap.point) == (-100.0, 0.0, -100.0)
        assert row.margin_self.point is not None and row.margin_self.point < 0
    assert set(rows["iemocap", "meld"].sources) == SHARED
    assert set(rows["meld", "msp"].sources) == SHARED | {"surprise"}
    assert ("", "all") in rows, "the macro mean is over each corpus's own masks"
