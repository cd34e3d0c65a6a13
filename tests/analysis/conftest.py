"""Datasets "answers" written by hand: every cell is a row of answered emotion words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pytest
import xarray as xr

OUTCOMES = {"?": 2, "unreadable": 3, "nan": 4, "": 0}


class Cell(NamedTuple):
    """Coordinates of a cell, and one answer per utterance: an emotion, or a key of OUTCOMES for no emotion."""

    answers: Sequence[str]
    intervention: str = "deactivate"
    selector: str = "ConAct"
    source_corpus: str = "studio"
    source_emotion: str = ""
    fraction: float = 0.1
    mask_seed: int = -1
    alpha: float = -1.0


def baseline(answers: Sequence[str]) -> Cell:
    return Cell(answers, "baseline", "", "", "", float("nan"), -1, 0.0)


def dataset(
    labels: Sequence[str],
    cells: Sequence[Cell],
    *,
    emotions: Sequence[str] = ("anger", "joy"),
    model: str = "tiny",
    corpus: str = "studio",
    speakers: Sequence[str] | None = None,
    logprob: np.ndarray | None = None,
) -> xr.Dataset:
    """`logprob` defaults to 0.9 for the answered option, the rest shared."""
    answer = [[emotions.index(a) if a in emotions else -1 for a in cell.answers] for cell in cells]
    outcome = [[OUTCOMES.get(a, 1) for a in cell.answers] for cell in cells]
    if logprob is None:
        chosen = np.array(answer)[:, :, None] == np.arange(len(emotions))
        logprob = np.log(np.where(chosen, 0.9, 0.1 / (len(emotions) - 1)))
    fields = ("intervention", "selector", "source_corpus", "source_emotion", "fraction", "mask_seed", "alpha")
    return xr.Dataset(
        {
            "answer": (("cell", "utterance"), np.array(answer, np.int8)),
            "outcome": (("cell", "utterance"), np.array(outcome, np.uint8)),
            "logprob": (("cell", "utterance", "emotion"), np.array(logprob, np.float32)),
        },
        coords={
            **{field: ("cell", [getattr(cell, field) for cell in cells]) for field in fields},
            "cell": [f"c{number}" for number in range(len(cells))],
            "utterance": [f"u{number}" for number in range(len(labels))],
            "label": ("utterance", list(labels)),
            "speaker": ("utterance", list(speakers or ["s"] * len(labels))),
            "emotion": list(emotions),
        },
        attrs={"model": model, "corpus": corpus},
    )


class Build(NamedTuple):
    """The builders, as a fixture: test modules are not importable from each other."""

    cell: type[Cell]
    baseline: Callable[[Sequence[str]], Cell]
    dataset: Callable[..., xr.Dataset]

    def random(self, seed: int, *, per_emotion: int = 12, corpus: str = "studio", model: str = "tiny") -> xr.Dataset:
        """Three emotions, ConAct and two seeds of RND; all outcomes occur."""
        random = np.random.default_rng(seed)
        emotions = ("anger", "joy", "neutral")
        labels = np.repeat(emotions, per_emotion)
        words = [*emotions * 4, "?", "unreadable", "nan"]

        def drawn() -> list[str]:
            return [str(word) for word in random.choice(words, len(labels))]

        cells = [self.baseline(drawn())]
        cells += [self.cell(drawn(), source_emotion=emotion, source_corpus=corpus) for emotion in emotions]
        cells += [self.cell(drawn(), selector="RND", source_corpus="", mask_seed=number) for number in range(2)]
        speakers = [f"s{number % 4}" for number in range(len(labels))]
        return self.dataset(labels, cells, emotions=emotions, speakers=speakers, corpus=corpus, model=model)


@pytest.fixture
def build() -> Build:
    return Build(Cell, baseline, dataset)
