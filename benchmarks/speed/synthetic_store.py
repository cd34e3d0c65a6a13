"""Stores without models: planned and created as the driver does it, with utterances that have names only.

Every candidate has an answer and every count is zero, so only a model's work is missing. Knows no pool.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from esn_dist.corpora.utterance import Clip, Utterance
from esn_dist.runner.prepare import prepare_model, prepare_root
from esn_dist.seeds import digest, generator
from esn_dist.store.create import add_corpus
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import read_utterances
from esn_dist.store.tables import ExclusionTable, UtteranceTable, in_whole_shards
from esn_dist.store.write import write_counts
from esn_dist.sweep.candidate_counts import total_candidates
from esn_dist.sweep.corpus_spec import CorpusSpec
from esn_dist.sweep.plan import plan
from esn_dist.sweep.spec import Sweep
from esn_dist.terms import PARTS, SHARD_ROWS
from esn_dist.worker.job import CorpusItems
from speed.fresh_process import peak_bytes

StoreSize = Literal["tiny", "full"]
PAPER = Path(__file__).parents[2] / "configs" / "paper.yaml"
# The stores have the shape of this model. No array of counts is read, so its size does not matter.
MODEL, LAYERS, WIDTH = "tiny-qwen2.5-omni", 4, 256
RIGHT = 0.6  # of candidates are answered correctly


def many_cells(gains: int) -> dict[str, Any]:
    """A sweep of 750 masks with `gains` gains each on 2,000 utterances: every cell is a separate unit."""
    emotions = ["anger", "joy", "neutral", "sadness", "surprise"]
    corpus = {"name": "speech", "type": "synthetic", "condition": "studio", "emotions": emotions}
    sets = {"evaluation": {"per_emotion": 400}, "identification": {"candidates": 2_000, "cap": 1_000}}
    steer = {"type": "steer", "alpha": [(n + 1) / 1_000 for n in range(gains)]}
    fractions = [str((n + 1) / 1_000) for n in range(50)]
    study = {"selectors": ["RND", "MAD", "ConAct"], "fractions": fractions, "seeds": 5, "interventions": [steer]}
    return {"name": "many", "seed": 1, "models": [MODEL], "corpora": [corpus | sets], "studies": {"all": study}}


def paper(size: StoreSize) -> dict[str, Any]:
    """`configs/paper.yaml`, or its first two studies on one corpus, with models that need no download."""
    written: dict[str, Any] = yaml.safe_load(PAPER.read_text(encoding="utf-8"))
    written["models"] = [{"name": name, "model": MODEL} for name in written["models"]]
    if size == "tiny":
        studies = {name: written["studies"][name] for name in ("table1", "table2")}
        written |= {"models": written["models"][:1], "corpora": written["corpora"][1:2], "studies": studies}
    return written


def build(root: Path, written: dict[str, Any]) -> dict[str, float]:
    """Create a store as the driver does, with an answer of every candidate; returns seconds and peak memory."""
    started = time.monotonic()
    (root / "sweep.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")
    sweep, folder = load(root), StoreFolder(root)
    prepare_root(sweep, folder)
    for spec in sweep.corpora:
        each = (total_candidates(spec, None)[0] or 0) // len(spec.emotions)
        sets = (_utterances(spec, spec.evaluation.per_emotion), in_whole_shards(_utterances(spec, each), spec.emotions))
        add_corpus(folder, spec.name, spec.emotions, *sets, ExclusionTable.empty(), {})
    corpora, planned = corpus_items(sweep, folder), plan(sweep)
    for model in sweep.models:
        prepare_model(model, planned, corpora, folder)
    prepared = {"seconds": time.monotonic() - started, "peak_bytes": peak_bytes()}
    for model in sweep.models:
        for corpus in corpora.values():
            _answer_candidates(folder, model.name, corpus)
    return prepared


def load(root: Path) -> Sweep:
    """The sweep of a synthetic store."""
    return Sweep.model_validate(yaml.safe_load((root / "sweep.yaml").read_text(encoding="utf-8")))


def corpus_items(sweep: Sweep, folder: StoreFolder) -> dict[str, CorpusItems]:
    """What the driver knows of the corpora. The clips have no files."""

    def clips(spec: CorpusSpec, name: str) -> list[Clip | None]:
        table = read_utterances(folder, spec.name, name)
        named = zip(table.id, table.label, strict=True)
        return [Clip(Utterance(id, "", label, "", Path(id)), 80_000, "") if id else None for id, label in named]

    items = {}
    for spec in sweep.corpora:
        evaluation = tuple(clip for clip in clips(spec, "evaluation") if clip)
        pool = tuple(clips(spec, "identification"))
        items[spec.name] = CorpusItems(spec.name, spec.emotions, spec.options, evaluation, pool)
    return items


def _utterances(spec: CorpusSpec, each: int) -> UtteranceTable:
    numbers = tuple(range(1, len(spec.emotions) + 1))
    names = [(f"{emotion}-{n}", emotion) for n in range(each) for emotion in spec.emotions]
    rows = [(name, "", emotion, numbers, "", f"{name}.wav", 80_000, digest(name)) for name, emotion in names]
    return UtteranceTable.from_rows(rows)


def _answer_candidates(folder: StoreFolder, model: str, corpus: CorpusItems) -> None:
    """Write an answer of every candidate, and counts of zero."""
    block, draw = 64 * SHARD_ROWS, generator("right", model, corpus.name)
    for start in range(0, len(corpus.identification), block):
        rows = slice(start, min(start + block, len(corpus.identification)))
        labels = [corpus.emotions.index(clip.utterance.emotion) for clip in corpus.identification[rows] if clip]
        count, right = len(labels), draw.random(len(labels)) < RIGHT
        write_counts(
            folder, model, corpus.name, rows,
            K=np.zeros((count, len(PARTS), LAYERS, WIDTH), np.uint16), T=np.ones((count, len(PARTS)), np.uint16),
            answer=np.where(right, labels, (np.array(labels) + 1) % len(corpus.emotions)).astype(np.int8),
            outcome=np.ones(count, np.uint8), logprob=np.zeros((count, len(corpus.emotions)), np.float32),
            text=["1"] * count,
        )  # fmt: skip
