"""2-Pass derived from the steering cells equals a literal second pass: answer, steer by that answer, answer again."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import xarray as xr

from esn_dist.analysis.two_pass import with_two_pass
from esn_dist.gates.find import find_gates
from esn_dist.gates.scale import scaled
from esn_dist.inference.packed.engine import make_engine
from esn_dist.models.qwen2_5_omni.adapter import Qwen25Omni
from esn_dist.models.tiny.architecture import TinySize, build, feature_extractor, tokenizer
from esn_dist.task.prompt import option_order
from esn_dist.terms import Outcome
from esn_dist.worker.prompt_batches import AnswerRows, PromptBatches

EMOTIONS = ("anger", "joy", "neutral")
SIZE = TinySize(hidden=32, layers=3, gates=48, audio_width=32, audio_layers=1, audio_ffn=32)
ALPHA, TOKENS, UTTERANCES = 1.5, 3, 24
RANDOM = "RND"


@pytest.fixture(scope="module")
def model() -> Qwen25Omni:
    """A random Qwen2.5-Omni thinker that likes numbers, so that many of its answers name an option."""
    thinker: Any = build(SIZE, seed=3)
    draw = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for weight in thinker.parameters():
            if weight.dim() > 1:
                weight.copy_(torch.randn(weight.shape, generator=draw) * 0.2)
        made = Qwen25Omni(thinker, tokenizer(), feature_extractor(), Qwen25Omni.settings)
        thinker.lm_head.weight[list(made.number_tokens(3))] *= 3
    return made


class Sweep:
    """Utterances, masks, and the answers of everything that a sweep would run: baseline and steering cells."""

    def __init__(self, model: Qwen25Omni) -> None:
        draw = torch.Generator().manual_seed(7)
        self.engine, self.gates = make_engine(model), find_gates(model.decoder)
        self.rows = [torch.randn(2 + 3 * (i % 7), SIZE.hidden, generator=draw) for i in range(UTTERANCES)]
        self.orders = [option_order(EMOTIONS, 1, "corpus", f"u{i}") for i in range(UTTERANCES)]
        random = np.random.default_rng(8)
        self.masks = {e: random.random((SIZE.layers, SIZE.gates)) < 0.3 for e in (*EMOTIONS, RANDOM)}

    def prompt_batches(self, rows: range) -> PromptBatches:
        return PromptBatches(
            self.engine, [self.rows[i] for i in rows], [self.orders[i] for i in rows], EMOTIONS, EMOTIONS, 400
        )

    def steered(self, rows: range, mask: npt.NDArray[np.bool_]) -> AnswerRows:
        with scaled(self.gates, mask, 1 + ALPHA, "fold"):
            return self.prompt_batches(rows).answer(TOKENS)

    def answers(self) -> xr.Dataset:
        """The store's dataset of a baseline, a steering cell per emotion, and one of RND."""
        everything = range(UTTERANCES)
        cells = [self.prompt_batches(everything).answer(TOKENS)]
        cells += [self.steered(everything, mask) for mask in self.masks.values()]
        words = {
            "intervention": ["baseline", *["steer"] * 4], "selector": ["", *["ConAct"] * 3, RANDOM],
            "source_corpus": ["", *["corpus"] * 3, ""], "source_emotion": ["", *EMOTIONS, ""],
            "alpha": [0.0, *[ALPHA] * 4], "fraction": [np.nan, *[0.3] * 4], "mask_seed": [-1, -1, -1, -1, 0],
        }  # fmt: skip
        return xr.Dataset(
            {
                "answer": (("cell", "utterance"), np.stack([c.answer for c in cells])),
                "outcome": (("cell", "utterance"), np.stack([c.outcome for c in cells])),
                "logprob": (("cell", "utterance", "emotion"), np.stack([c.logprob for c in cells])),
                "option_number": (("utterance", "emotion"), [[o.index(e) + 1 for e in EMOTIONS] for o in self.orders]),
            },
            coords={
                **{name: ("cell", values) for name, values in words.items()},
                "cell": [f"c{i}" for i in range(5)],
                "utterance": [f"u{i}" for i in everything],
                "label": ("utterance", [EMOTIONS[i % 3] for i in everything]),
                "speaker": ("utterance", ["s"] * UTTERANCES),
                "emotion": list(EMOTIONS),
            },
            attrs={"model": "tiny", "corpus": "corpus"},
        )

    def literally(self, utterance: int, selector: str) -> tuple[int, int, npt.NDArray[np.float32]]:
        """Answer, outcome and log-probabilities of one utterance alone, after as many passes as it needs."""
        alone = range(utterance, utterance + 1)
        rows = self.prompt_batches(alone).answer(TOKENS)
        if rows.outcome[0] == Outcome.ANSWERED:
            predicted = EMOTIONS[rows.answer[0]]
            rows = self.steered(alone, self.masks[RANDOM if selector == RANDOM else predicted])
        return int(rows.answer[0]), int(rows.outcome[0]), rows.logprob[0]


@pytest.fixture(scope="module")
def sweep(model: Qwen25Omni) -> Sweep:
    return Sweep(model)


@pytest.fixture(scope="module")
def answers(sweep: Sweep) -> xr.Dataset:
    return sweep.answers()


@pytest.mark.parametrize("selector", ["ConAct", RANDOM])
def test_the_cells_have_the_answers_of_a_second_pass(sweep: Sweep, answers: xr.Dataset, selector: str) -> None:
    added = with_two_pass(answers)
    two_pass = added.isel(cell=(added.intervention.values == "two-pass") & (added.selector.values == selector))
    assert two_pass.sizes["cell"] == 1
    for utterance in range(UTTERANCES):
        answer, outcome, logprob = sweep.literally(utterance, selector)
        derived = two_pass.isel(cell=0, utterance=utterance)
        assert (int(derived.answer), int(derived.outcome)) == (answer, outcome)
        np.testing.assert_allclose(derived.logprob, logprob, atol=1e-4)


def test_the_fixture_has_nonzero_effects(answers: xr.Dataset) -> None:
    """Several emotions are predicted first, some first answers are none, and steering changes answers."""
    first = answers.isel(cell=0)
    assert len(set(first.answer.values[first.outcome == Outcome.ANSWERED])) == len(EMOTIONS)
    assert (first.outcome == Outcome.UNPARSED).any()
    final = with_two_pass(answers).isel(cell=5)
    assert ((final.answer != first.answer) & (first.outcome == Outcome.ANSWERED)).any()


def test_derived_cells_follow_and_the_stored_ones_stay(answers: xr.Dataset) -> None:
    added = with_two_pass(answers)
    xr.testing.assert_identical(added.isel(cell=slice(0, 5)), answers)
    assert added.answer.dtype == answers.answer.dtype and added.logprob.dims == answers.logprob.dims
    assert added.source_emotion.values[5:].tolist() == ["", ""]
    assert added.mask_seed.values[5:].tolist() == [-1, 0]
    assert with_two_pass(answers).cell.values.tolist() == added.cell.values.tolist()


def test_masks_without_one_of_the_emotions_give_no_second_pass(answers: xr.Dataset) -> None:
    partial = answers.isel(cell=[0, 1, 2])
    xr.testing.assert_identical(with_two_pass(partial), partial)
