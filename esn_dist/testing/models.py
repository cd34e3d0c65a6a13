"""Tests that every adapter must pass: inherit the class and give it a loaded model, tiny and random.

    from esn_dist.testing.models import AudioLMConformance

    class TestMine(AudioLMConformance):
        adapter = MyAudioLM
        too_short = (160,)
        too_long = 30 * 16_000 + 1

        @pytest.fixture
        def lm(self) -> AudioLM:
            return MyAudioLM(a_tiny_random_model(), its_tokenizer())

Wide random weights show more than those of a fresh model, whose logits are almost constant.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch

from esn_dist.gates.find import find_gates
from esn_dist.inference.selfcheck import check, clip
from esn_dist.models.audio_lm import AudioLM, ClipTooLong, ClipTooShort, Prompt
from esn_dist.terms import Part

TEXT = "Which one is it? 1: yes, 2: no"


class AudioLMConformance:
    """The promises of an adapter.

    Attributes:
        adapter: class of the model under test.
        seconds: lengths of the clips; the second one is longer than the first.
        too_short: samples of clips that give no audio token.
        too_long: samples of a clip that the official processor would cut; None where it takes any length.
        options: answers "1" to this number must be single tokens.
    """

    adapter: ClassVar[type] = AudioLM
    seconds: ClassVar[tuple[float, ...]] = (0.25, 0.6)
    too_short: ClassVar[tuple[int, ...]] = ()
    too_long: ClassVar[int | None] = None
    options: ClassVar[int] = 9

    @pytest.fixture
    def lm(self) -> AudioLM:
        """To override: the loaded model."""
        raise NotImplementedError("override the fixture `lm`")

    def test_a_clip_becomes_audio_embeddings_of_the_decoder_s_width_and_dtype(self, lm: AudioLM) -> None:
        assert isinstance(lm, self.adapter)
        for seconds in self.seconds:
            embeds_RD = lm.encode_clip(clip(seconds))
            assert embeds_RD.shape[1] == lm.embed_tokens(torch.tensor([0], device=lm.device)).shape[1]
            assert embeds_RD.dtype == lm.dtype and embeds_RD.isfinite().all()

    def test_a_clip_s_embeddings_do_not_depend_on_the_other_clips(self, lm: AudioLM) -> None:
        features = [lm.preprocess(clip(seconds)) for seconds in self.seconds]
        forward, backward = lm.encode_audio(features), lm.encode_audio(iter(features[::-1]))[::-1]
        for index, seconds in enumerate(self.seconds):
            assert torch.equal(forward[index], lm.encode_clip(clip(seconds)))
            assert torch.equal(forward[index], backward[index])
        assert len(forward[0]) < len(forward[1]), "a longer clip has more audio tokens"

    def test_a_prompt_is_the_text_around_one_position_for_every_audio_token(self, lm: AudioLM) -> None:
        short, long = lm.prompt(2, TEXT), lm.prompt(5, TEXT)
        assert (short.part_L == Part.AUDIO).sum() == 2 and len(long) == len(short) + 3
        assert np.array_equal(short.ids_L[short.part_L != Part.AUDIO], long.ids_L[long.part_L != Part.AUDIO])
        assert TEXT in lm.decode(short.ids_L[short.part_L == Part.TEXT].tolist())

    def test_embeddings_replace_the_placeholders_and_nothing_else(self, lm: AudioLM) -> None:
        prompt = lm.prompt(2, TEXT)
        audio_S = torch.from_numpy(prompt.part_L == Part.AUDIO).to(lm.device)
        width = lm.encode_clip(clip(self.seconds[0])).shape[1]
        zeros, ones = (lm.embed(prompt, torch.full((2, width), value, dtype=lm.dtype)) for value in (0.0, 1.0))
        assert zeros.shape == (len(prompt), width)
        assert ((zeros != ones).any(1) == audio_S).all()

    def test_concatenated_prompts_are_embedded_as_each_alone(self, lm: AudioLM) -> None:
        embeds = [lm.encode_clip(clip(seconds)) for seconds in self.seconds]
        prompts = [lm.prompt(len(embeds_RD), TEXT) for embeds_RD in embeds]
        alone = torch.cat([lm.embed(*pair) for pair in zip(prompts, embeds, strict=True)])
        assert torch.equal(lm.embed(Prompt.concatenate(prompts), torch.cat(embeds)), alone)

    def test_option_numbers_are_single_tokens_and_tokens_become_text(self, lm: AudioLM) -> None:
        numbers = lm.number_tokens(self.options)
        assert [lm.decode([token]).strip() for token in numbers] == [str(n + 1) for n in range(self.options)]
        assert lm.decode(list(lm.stop_ids)) == "", "end tokens are special, and no text"

    def test_a_clip_without_an_audio_token_is_refused(self, lm: AudioLM) -> None:
        for samples in self.too_short:
            with pytest.raises(ClipTooShort, match=f"{samples} samples"):
                lm.encode_clip(clip(samples / 16_000))

    def test_a_clip_that_the_official_processor_would_cut_is_refused(self, lm: AudioLM) -> None:
        if self.too_long is not None:
            with pytest.raises(ClipTooLong, match="s at most"):
                lm.encode_clip(np.zeros(self.too_long, np.float32))

    def test_every_decoder_layer_has_a_gate(self, lm: AudioLM) -> None:
        gates = find_gates(lm.decoder)
        assert [gate.layer for gate in gates] == list(range(len(gates))) and len(gates) > 0
        assert len({gate.width for gate in gates}) == 1

    def test_batches_counts_and_deactivation_equal_slow_references(self, lm: AudioLM) -> None:
        """What `doctor --deep` checks: batched = single = without a cache; counts and masks = plain hooks."""
        claims = check(lm, self.seconds)
        assert all(claims.values()), claims
