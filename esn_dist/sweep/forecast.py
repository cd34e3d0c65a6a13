"""What a sweep would cost before anything runs: cells, answers, units and bytes, from the spec alone.

Set sizes are what the spec asks for and the corpus has: by its index where the caller looked at it, else by published
counts, else unknown; each says which. Looks itself at no corpus and no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from esn_dist.store.schema import PARTS
from esn_dist.store.tables import SHARD_ROWS
from esn_dist.sweep.corpus_spec import CorpusSpec
from esn_dist.sweep.plan import plan
from esn_dist.sweep.sizes import Found, candidates
from esn_dist.sweep.spec import Sweep
from esn_dist.sweep.units import SHARDS_PER_UNIT, cells_per_block, evaluation_blocks
from esn_dist.sweep.words import known_models

LOGPROB, TEXT, CODES = 4, 160, 3  # bytes of one answer: per emotion, its text, answer + outcome + flag


@dataclass(frozen=True, slots=True)
class StudyForecast:
    """One study. `shared`: cells that another study before it has too, which run once."""

    name: str
    cells: int
    answers: int
    shared: int


@dataclass(frozen=True, slots=True)
class CorpusForecast:
    """One corpus. `candidates`: of the identification pool at most; `source`: where that number comes from."""

    name: str
    evaluation: int
    candidates: int | None
    source: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """A sweep's cost.

    Attributes:
        answers: of all cells, each once. identification_answers: candidates asked at most.
        units: by step, at most.
        bytes: of the store at most, uncompressed; None where a pool's size is unknown.
    """

    sweep: str
    studies: tuple[StudyForecast, ...]
    corpora: tuple[CorpusForecast, ...]
    cells: int
    masks: int
    answers: int
    identification_answers: int | None
    units: dict[str, int]
    bytes: int | None


def forecast(sweep: Sweep, found: Mapping[str, Found] | None = None) -> Forecast:
    """The cost of everything that `sweep` asks for.

    Args:
        found: what a look at the corpora gave, by name.
    """
    planned = plan(sweep)
    corpora = {spec.name: _corpus(spec, (found or {}).get(spec.name)) for spec in sweep.corpora}
    sources = {(m.model, m.corpus) for m in planned.masks if m.corpus}
    pools = [corpora[corpus].candidates for _, corpus in sources]
    pool = None if None in pools else sum(size for size in pools if size is not None)
    answers = sum(corpora[c.corpus].evaluation for c in planned.cells)
    return Forecast(
        sweep.name,
        _studies(planned.studies, corpora),
        tuple(corpora.values()),
        len(planned.cells),
        len(planned.masks),
        answers,
        pool,
        _units(sweep, corpora, len(sources)),
        None if pool is None else _bytes(sweep, corpora, sources, answers, len(planned.masks)),
    )


def _studies(studies: object, corpora: dict[str, CorpusForecast]) -> tuple[StudyForecast, ...]:
    seen: set[object] = set()
    found = []
    assert isinstance(studies, dict)
    for name, cells in studies.items():
        shared = sum(cell in seen for cell in cells)
        found.append(StudyForecast(name, len(cells), sum(corpora[c.corpus].evaluation for c in cells), shared))
        seen.update(cells)
    return tuple(found)


def _corpus(spec: CorpusSpec, found: Found | None) -> CorpusForecast:
    pool, source = candidates(spec, found)
    return CorpusForecast(spec.name, spec.evaluation.per_emotion * len(spec.emotions), pool, source)


def _units(sweep: Sweep, corpora: dict[str, CorpusForecast], identifications: int) -> dict[str, int]:
    planned = plan(sweep)
    groups = {(c.model, c.corpus) for c in planned.cells}
    answer = sum(
        ceil(len(planned.cells_of(model, corpus)) / cells_per_block(corpora[corpus].evaluation))
        for model, corpus in groups
    )
    shards = sum(ceil((c.candidates or 0) / SHARD_ROWS) for c in corpora.values()) * len(sweep.models)
    encode = shards + sum(len(evaluation_blocks(corpora[corpus].evaluation)) for _, corpus in groups)
    identify = ceil(shards / SHARDS_PER_UNIT) if identifications else 0
    return {"encode": encode, "identify": identify, "select": len(planned.masks), "answer": answer}


def _bytes(
    sweep: Sweep, corpora: dict[str, CorpusForecast], sources: set[tuple[str, str]], answers: int, masks: int
) -> int:
    facts = {m.name: known_models()[m.model] for m in sweep.models}
    shape: dict[str, int] = {name: known["layers"] * known["width"] for name, known in facts.items()}
    counts = sum(shape[model] * len(PARTS) * 2 * (corpora[corpus].candidates or 0) for model, corpus in sources)
    emotions = max(len(c.emotions) for c in sweep.corpora)
    return counts + answers * (CODES + LOGPROB * emotions + TEXT) + masks * max(shape.values())
