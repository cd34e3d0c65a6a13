"""The methods answer the same questions, do what their names say, and their ceiling counts the right work."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from agreement import agreement, options_of
from counts import Fetched, under_usual_hook
from esn_dist.corpora.audio import decode
from esn_dist.gates.count import ActivationCounter
from esn_dist.gates.positions import TokenPositions
from esn_dist.models.tiny.architecture import SYSTEM
from esn_dist.task.prompt import question
from esn_dist.terms import Part
from interventions import many_mask_conditions, only_middle
from speed.ceiling import Ceiling
from speed.methods import Generate, Mask, SweepEngine
from speed.workload import TOKENS, Workload, drawn, forced, full_config, order_of, thinned


def test_the_reference_and_ours_give_the_same_answers(spoken: Workload) -> None:
    for row in agreement(spoken).values():
        assert row["answered"] == row["utterances"] == 12
        assert row["answers_equal"] == row["texts_equal"] == 1
        assert row["largest_logprob_difference"] < 1e-4


def test_a_mask_on_one_side_only_changes_log_probabilities(spoken: Workload) -> None:
    """Without a difference here the comparison would show nothing."""
    reference, ours = Generate(spoken, spoken.clips, 1), SweepEngine(spoken, spoken.clips)
    everything = np.ones((len(spoken.gates), spoken.gates[0].width), bool)
    logprob_nE = reference_logprob(spoken, reference, everything)
    assert np.abs(logprob_nE - ours.answer([None], 1)[0].logprob).max() > 0.1
    np.testing.assert_allclose(logprob_nE, ours.answer([everything], 1)[0].logprob, atol=1e-4)
    np.testing.assert_allclose(reference_logprob(spoken, reference, None), ours.answer([None], 1)[0].logprob, atol=1e-4)


def test_padded_batches_are_answered_as_single_clips(spoken: Workload) -> None:
    single, batched = (Generate(spoken, spoken.clips, size).answer([None], 20) for size in (1, 5))
    assert single == batched


@pytest.mark.parametrize("size", [1, 4])
def test_random_weights_make_exactly_two_tokens_by_every_method(endless: Workload, size: int) -> None:
    tokens, _ = Generate(endless, endless.clips, size).generate(endless.mask(0), endless.new_tokens)
    assert [len(row) for row in tokens] == [2] * 6
    counted = SweepEngine(endless, endless.clips).prompt_batches.answer(endless.new_tokens, counted=endless.gates)
    assert counted.T is not None
    assert counted.T[:, Part.GENERATED].tolist() == [1] * 6, "the last token is never fed to the decoder"


def test_prompts_of_the_forced_subject_have_the_promised_length(endless: Workload) -> None:
    assert SweepEngine(endless, endless.clips).tokens_per_prompt == pytest.approx(TOKENS, rel=0.02)


def test_dots_are_shared_by_all_prompts_which_stay_as_long(endless: Workload, tmp_path: Path) -> None:
    system = SYSTEM + 24 * "."
    load = partial(drawn, endless.lm.thinker.config, "cpu", torch.bfloat16, system)
    dotted = forced(load, tmp_path, 6, 512, system)
    without, longer = SweepEngine(endless, endless.clips), SweepEngine(dotted, dotted.clips)
    assert longer.prompt_batches.prefix == without.prompt_batches.prefix + 24
    assert longer.tokens_per_prompt == pytest.approx(without.tokens_per_prompt, abs=1)


def test_the_full_model_has_the_published_sizes() -> None:
    text, audio = full_config().text_config, full_config().audio_config
    assert (text.hidden_size, text.intermediate_size, text.num_hidden_layers, text.vocab_size) == (
        3584,
        18944,
        28,
        152064,
    )
    assert (text.num_attention_heads, text.num_key_value_heads) == (28, 4)
    assert (audio.d_model, audio.encoder_layers, audio.output_dim) == (1280, 32, 3584)


def test_a_thinned_set_has_the_same_average_length(endless: Workload) -> None:
    whole, third = (np.mean([p.stat().st_size for p in clips]) for clips in (endless.clips, thinned(endless.clips, 3)))
    assert third == pytest.approx(whole, rel=0.01)


def test_work_per_token_is_what_torch_counts(spoken: Workload) -> None:
    tokens = 64
    embedded_1LD = torch.randn(1, tokens, spoken.lm.thinker.config.text_config.hidden_size)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        spoken.lm.decoder(inputs_embeds=embedded_1LD, use_cache=False)
    products = counter.get_flop_counts()["Global"]
    linear = sum(flop for operation, flop in products.items() if "mm" in str(operation) and "bmm" not in str(operation))
    assert Ceiling(spoken.lm, tokens, 0.001).flop_per_token * tokens == pytest.approx(linear, rel=0.02)


def test_masks_of_a_batch_get_every_utterance_once(spoken: Workload) -> None:
    ours = SweepEngine(spoken, spoken.clips)
    shares = [ours.prompt_batches_of(range(start, 12, 5)) for start in range(5)]
    assert sorted(order for share in shares for order in share.orders) == sorted(ours.prompt_batches.orders)
    assert many_mask_conditions(spoken, ours, 13) == {}, "an utterance has no thirteenth part here"


def test_one_layer_means_one_layer(spoken: Workload) -> None:
    mask = spoken.mask(1) | True
    assert only_middle(mask).any(axis=1).tolist() == [False, False, True, False]


def test_the_usual_hook_counts_what_ours_counts(spoken: Workload) -> None:
    """Of one clip, which has no padding, and over the markers too, which the usual hook does not leave out."""
    lm, path = spoken.lm, spoken.clips[0]
    rows_RD = lm.encode_clip(decode(path))
    prompt = lm.prompt(len(rows_RD), question(order_of(path)))

    def decoded() -> object:
        return lm.decoder(inputs_embeds=lm.embed(prompt, rows_RD)[None], use_cache=False)

    counter = ActivationCounter(spoken.gates, 1, len(Part))
    with torch.inference_mode(), counter.hooks():
        counter.begin_forward(TokenPositions.padded(torch.zeros(1, len(prompt), dtype=torch.int8)))
        fetched = under_usual_hook(spoken.gates, decoded)()
    K_LN = counter.result()[0][0, 0]
    assert isinstance(fetched, Fetched)
    assert torch.cat(list(fetched)).tolist() == K_LN.tolist()


def reference_logprob(workload: Workload, reference: Generate, member_LN: Mask | None) -> npt.NDArray[np.float32]:
    """Of each clip's options, by emotion."""
    _, first = reference.generate(member_LN, 1, logits=True)
    return np.stack([options_of(workload, *both) for both in zip(first, workload.clips, strict=True)])
