"""The words of a corpus's `words` are what the model reads, and what its answer is read by; labels stay emotions."""

from __future__ import annotations

import pytest
import torch

from esn_dist.inference.batches import pad
from esn_dist.inference.engine import PaddedEngine
from esn_dist.models.audio_lm import AudioLM
from esn_dist.models.loading import load
from esn_dist.sweep.spec import ModelSpec
from esn_dist.task.prompt import question
from esn_dist.terms import Outcome
from esn_dist.worker.prompt_batches import PromptBatches
from tests.corpora.miniature.speech import hum

EMOTIONS = ("anger", "joy", "sadness")
OPTIONS = ("anger", "happiness", "sad")
ORDER = ("sadness", "anger", "joy")


@pytest.fixture(scope="module")
def model() -> AudioLM:
    return load(ModelSpec.model_validate("tiny-qwen2.5-omni"), "cpu")


@pytest.fixture(scope="module")
def rows(model: AudioLM) -> torch.Tensor:
    return model.encode_clip(hum(0.5))


def test_the_model_is_shown_the_words_in_the_utterance_s_own_order(model: AudioLM, rows: torch.Tensor) -> None:
    prompts = PromptBatches(PaddedEngine(model), [rows], [ORDER], EMOTIONS, OPTIONS, 4_096)
    ((_, batch),) = prompts.batches
    text = question(["sad", "anger", "happiness"])
    expected = pad(model, [model.prompt(len(rows), text)], [rows])
    assert torch.equal(batch.embedded_BLD, expected.embedded_BLD)
    plain = PromptBatches(PaddedEngine(model), [rows], [ORDER], EMOTIONS, EMOTIONS, 4_096).batches[0][1]
    assert plain.embedded_BLD.shape != batch.embedded_BLD.shape or not torch.equal(
        plain.embedded_BLD, batch.embedded_BLD
    )


@pytest.mark.parametrize(
    ("text", "emotion"), [("Happiness", "joy"), ("3", "joy"), ("1", "sadness"), ("sad.", "sadness"), ("joy", None)]
)
def test_an_answer_in_those_words_counts_for_its_emotion(
    model: AudioLM, rows: torch.Tensor, text: str, emotion: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "decode", lambda tokens: text)  # a model that answers in words
    result = PromptBatches(PaddedEngine(model), [rows], [ORDER], EMOTIONS, OPTIONS, 4_096).answer(4)
    assert Outcome(result.outcome[0]) is (Outcome.UNPARSED if emotion is None else Outcome.ANSWERED)
    assert result.answer[0] == (-1 if emotion is None else EMOTIONS.index(emotion))
