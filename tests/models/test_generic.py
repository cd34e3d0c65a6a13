"""Any gated audio LM, on tiny real models: prompts and answers are those of its own processor and `generate`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from esn_dist.errors import UserError
from esn_dist.models.generic.adapter import GenericAudioLM
from esn_dist.testing.models import AudioLMConformance
from tests.models.random_case import Case
from tests.models.random_models import qwen2_audio


class TestConformance(AudioLMConformance):
    adapter = GenericAudioLM

    @pytest.fixture
    def lm(self, case: Case) -> GenericAudioLM:
        return case.lm


def test_prompts_are_the_processors(case: Case) -> None:
    for prompt, inputs in zip(case.prompts, case.official, strict=True):
        assert prompt.ids_L.tolist() == inputs["input_ids"][0].tolist()


def test_batched_cached_audio_gives_the_logits_and_the_answers_of_single_items(case: Case) -> None:
    ours = case.ask()
    assert ours.tokens == case.generated(case.lm.model)
    assert len({tuple(tokens) for tokens in ours.tokens}) > 1, "equal answers show nothing"
    for index, inputs in enumerate(case.official):
        with torch.no_grad():
            logits_V = case.lm.model(**inputs).logits[0, -1]
        expected_V = logits_V.log_softmax(-1).numpy()
        np.testing.assert_allclose(ours.logprob_BO[index], expected_V, atol=5e-5)


def test_without_an_end_token_a_model_is_refused() -> None:
    """Every answer would run on to its limit, and its last integer would be read."""
    model, processor = qwen2_audio()
    processor.tokenizer.eos_token = None
    model.generation_config.eos_token_id = model.config.text_config.eos_token_id = None
    with pytest.raises(UserError, match="no end token"):
        GenericAudioLM(model.eval(), processor)
