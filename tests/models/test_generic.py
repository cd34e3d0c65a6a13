"""Any gated audio LM: answers equal `generate`'s, counts and deactivation equal a naive hook's, on tiny real models."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import takewhile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import transformers
from torch import Tensor
from torch.nn.functional import linear, silu
from transformers.audio_utils import mel_filter_bank
from transformers.models.granite_speech import feature_extraction_granite_speech as granite_module

from esn_dist.cluster.questions import Questions
from esn_dist.errors import UserError
from esn_dist.gates.count import Counter
from esn_dist.gates.find import find_gates
from esn_dist.gates.scale import can_fold, scaled
from esn_dist.inference import selfcheck
from esn_dist.inference.answer import Answers, answer
from esn_dist.inference.batches import pad
from esn_dist.inference.engine import PaddedEngine
from esn_dist.models.anatomy import model_class
from esn_dist.models.audio_lm import Part
from esn_dist.models.generic import GenericAudioLM
from esn_dist.models.generic import _probe_offloaded as probe_offloaded
from esn_dist.models.loading import load_transformers
from esn_dist.models.placement import Placement

LENGTHS = (4_000, 37_920)
TEXTS = ("Which?", "Why, 1 or 2?")
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>", "<|IMAGE|>"]
SPECIALS += ["<|VIDEO|>", "<|vision_bos|>", "<|vision_eos|>"]
AUDIO = SPECIALS.index("<|AUDIO|>")
TEXT: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "pad_token_id": 0, "eos_token_id": 2, "bos_token_id": 1, "vocab_size": 272,
}  # fmt: skip
WHISPER: dict[str, Any] = {
    "d_model": 16, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 32, "num_mel_bins": 128,
    "max_source_positions": 1500,
}  # fmt: skip
SMALL: dict[str, Any] = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "max_source_positions": 1500, "num_mel_bins": 128,
}  # fmt: skip
VISION: dict[str, Any] = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 32}


def template(placeholder: str) -> str:
    """A chat template that keeps the order of the parts, and puts nothing between them."""
    return (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for p in m['content'] %}"
        "{% if p['type'] == 'audio' %}" + placeholder + "{% else %}{{ p['text'] }}{% endif %}{% endfor %}"
        "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )


def words(tools: Any, placeholder: str = "<|AUDIO|>") -> Any:
    extra = {"audio_token": "<|AUDIO|>", "image_token": "<|IMAGE|>", "video_token": "<|VIDEO|>"}
    extra |= {"vision_bos_token": "<|vision_bos|>", "vision_eos_token": "<|vision_eos|>"}
    extra |= {"audio_bos_token": "<|audio_bos|>", "audio_eos_token": "<|audio_eos|>"}
    return tools.byte_tokenizer(
        SPECIALS, template(placeholder), "<|endoftext|>", "<|im_end|>", extra_special_tokens=extra
    )


def whisper_mel(**options: Any) -> Any:
    return transformers.WhisperFeatureExtractor(feature_size=128, return_attention_mask=True, **options)


@contextmanager
def unchecked(cls: Any) -> Iterator[None]:
    """A processor's demand for image processors, which need torchvision, switched off."""
    cls.check_argument_for_proper_class = lambda self, name, argument: None
    try:
        yield
    finally:
        del cls.check_argument_for_proper_class


def qwen2_audio(tools: Any) -> tuple[Any, Any]:
    config = transformers.Qwen2AudioConfig(
        audio_config=WHISPER, text_config={"model_type": "qwen2", **TEXT}, audio_token_index=AUDIO
    )
    processor = transformers.Qwen2AudioProcessor(
        whisper_mel(), words(tools), chat_template=template("<|audio_bos|><|AUDIO|><|audio_eos|>\n")
    )
    return transformers.Qwen2AudioForConditionalGeneration(config), processor


def musicflamingo(tools: Any) -> tuple[Any, Any]:
    text = {"model_type": "qwen2", **TEXT}
    config = transformers.MusicFlamingoConfig(
        audio_config={"model_type": "audioflamingo3_encoder", **SMALL}, text_config=text, audio_token_id=AUDIO
    )
    config.audio_bos_token_id, config.audio_eos_token_id = AUDIO + 1, AUDIO + 2
    processor = transformers.MusicFlamingoProcessor(
        whisper_mel(), words(tools), chat_template=template("<|AUDIO|>"), audio_token="<|AUDIO|>",
        audio_bos_token="<|audio_bos|>", audio_eos_token="<|audio_eos|>",
    )  # fmt: skip
    return transformers.MusicFlamingoForConditionalGeneration(config), processor


def glmasr(tools: Any) -> tuple[Any, Any]:
    config = transformers.GlmAsrConfig(
        audio_config={**SMALL, "intermediate_size": 64, "num_key_value_heads": 2},
        text_config={"model_type": "llama", **TEXT}, audio_token_id=AUDIO,
    )  # fmt: skip
    processor = transformers.GlmAsrProcessor(
        whisper_mel(), words(tools), chat_template=template("<|AUDIO|>"), audio_token="<|AUDIO|>"
    )
    return transformers.GlmAsrForConditionalGeneration(config), processor


def granite_speech(tools: Any) -> tuple[Any, Any]:
    config = transformers.GraniteSpeechConfig(
        text_config={"model_type": "granite", **TEXT, "embedding_multiplier": 3.0, "residual_multiplier": 0.5},
        encoder_config={"num_layers": 2, "hidden_dim": 16, "num_heads": 2, "dim_head": 8, "output_dim": 12},
        projector_config={
            "model_type": "blip_2_qformer", "hidden_size": 16, "encoder_hidden_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 1, "cross_attention_frequency": 1,
        },
        audio_token_index=AUDIO, has_lora_adapter=False,
    )  # fmt: skip
    granite: Any = granite_module
    granite.torchaudio = SimpleNamespace(transforms=SimpleNamespace(MelSpectrogram=Mel))
    granite.requires_backends = lambda *names: None
    extractor: Any = granite.GraniteSpeechFeatureExtractor()
    processor = transformers.GraniteSpeechProcessor(extractor, words(tools), chat_template=template("<|AUDIO|>"))
    return transformers.GraniteSpeechForConditionalGeneration(config), processor


class Mel(torch.nn.Module):
    """torchaudio's MelSpectrogram, restated: its wheels do not load beside a torch without CUDA."""

    def __init__(self, sample_rate: int, n_fft: int, win_length: int, hop_length: int, n_mels: int) -> None:
        super().__init__()
        self.sizes = (n_fft, hop_length, win_length)
        filters = mel_filter_bank(n_fft // 2 + 1, n_mels, 0.0, sample_rate / 2, sample_rate, mel_scale="htk")
        self.filters_FM = torch.tensor(filters, dtype=torch.float32)

    def forward(self, wave_BS: Tensor) -> Tensor:
        window = torch.hann_window(self.sizes[2])
        spectrum_BFT = torch.stft(wave_BS, *self.sizes, window=window, return_complex=True)
        return (spectrum_BFT.abs().square().mT @ self.filters_FM).mT


def phi4_multimodal(tools: Any) -> tuple[Any, Any]:
    config = transformers.Phi4MultimodalConfig(
        **TEXT,
        vision_config={
            "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
            "image_size": 28, "crop_size": 28, "patch_size": 14, "image_token_id": AUDIO + 3, "feature_layer": -1,
        },
        audio_config={
            "hidden_size": 16, "intermediate_size": 32, "num_blocks": 2, "num_attention_heads": 2,
            "nemo_conv_channels": 16, "downsample_rate": 1, "audio_token_id": AUDIO, "ext_pw_out_channel": 16,
            "depthwise_separable_out_channel": 16,
        },
    )  # fmt: skip
    from transformers.models.phi4_multimodal.feature_extraction_phi4_multimodal import (
        Phi4MultimodalFeatureExtractor,
    )

    with unchecked(transformers.Phi4MultimodalProcessor):
        processor = transformers.Phi4MultimodalProcessor(
            None, Phi4MultimodalFeatureExtractor(), words(tools), chat_template=template("<|AUDIO|>")
        )
    return transformers.Phi4MultimodalForCausalLM(config), processor


def qwen3_omni_moe(tools: Any) -> tuple[Any, Any]:
    from transformers.models.qwen3_omni_moe.configuration_qwen3_omni_moe import Qwen3OmniMoeThinkerConfig

    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [1, 1, 2], "mrope_interleaved": True}
    config = Qwen3OmniMoeThinkerConfig(
        audio_config={
            "num_mel_bins": 128, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 32,
            "d_model": 16, "output_dim": 32, "n_window": 50, "downsample_hidden_size": 8, "n_window_infer": 100,
        },
        vision_config={**VISION, "deepstack_visual_indexes": [0]},
        text_config={
            **TEXT, "head_dim": 8, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24,
            "rope_parameters": rope,
        },
        audio_token_id=AUDIO, image_token_id=AUDIO + 3, video_token_id=AUDIO + 4, audio_start_token_id=AUDIO + 1,
    )  # fmt: skip
    config.vision_start_token_id = AUDIO + 5
    with unchecked(transformers.Qwen3OmniMoeProcessor):
        processor = transformers.Qwen3OmniMoeProcessor(
            None, None, whisper_mel(), words(tools), chat_template=template("<|audio_bos|><|AUDIO|><|audio_eos|>")
        )
    return transformers.Qwen3OmniMoeThinkerForConditionalGeneration(config), processor


BUILDERS = (qwen2_audio, musicflamingo, glmasr, granite_speech, phi4_multimodal, qwen3_omni_moe)
ITEMS = [(samples, TEXTS[i]) for i, samples in enumerate(LENGTHS)]
NEW = 5


class Case:
    """A random model with its items, encoded once."""

    def __init__(self, model: Any, processor: Any, tools: Any) -> None:
        self.lm = GenericAudioLM(model.eval(), processor)
        self.gates = find_gates(self.lm.decoder)
        self.official = [self.lm.official(tools.wave(samples), text) for samples, text in ITEMS]
        self.waves = [tools.wave(samples) for samples, _ in ITEMS]
        self.rows = [self.lm.encode(wave) for wave in self.waves]
        self.prompts = [self.lm.prompt(len(r), text) for r, (_, text) in zip(self.rows, ITEMS, strict=True)]
        self.batch = pad(self.lm, self.prompts, self.rows)

    def ask(self, counter: Counter | None = None) -> Answers:
        vocabulary = self.lm.model.get_output_embeddings().weight.shape[0]
        return answer(self.lm, self.batch, torch.arange(vocabulary).expand(len(ITEMS), -1), NEW, counter)

    def generated(self, model: Any) -> list[list[int]]:
        """What `model`, item by item, says under transformers' own generate."""
        said = []
        for inputs in self.official:
            output = model.generate(
                **inputs, max_new_tokens=NEW, do_sample=False, eos_token_id=list(self.lm.stop_ids), pad_token_id=0
            )
            new = output[0, inputs["input_ids"].shape[1] :].tolist()
            said.append(list(takewhile(lambda token: token not in self.lm.stop_ids, new)))
        return said


@pytest.fixture(scope="module", params=BUILDERS, ids=lambda build: build.__name__)
def case(request: pytest.FixtureRequest, tools: Any) -> Case:
    torch.manual_seed(0)
    model, processor = request.param(tools)
    tools.redraw(model, 4)
    return Case(model, processor, tools)


def test_prompts_are_the_processors(case: Case) -> None:
    for prompt, inputs in zip(case.prompts, case.official, strict=True):
        assert prompt.ids_L.tolist() == inputs["input_ids"][0].tolist()


def test_batched_cached_audio_gives_the_logits_and_the_answers_of_single_items(case: Case) -> None:
    ours = case.ask()
    assert ours.tokens == case.generated(case.lm.model)
    assert len({tuple(tokens) for tokens in ours.tokens}) > 1, "all answers alike show nothing"
    for index, inputs in enumerate(case.official):
        with torch.no_grad():
            logits_V = case.lm.model(**inputs).logits[0, -1]
        expected_V = logits_V.log_softmax(-1).numpy()
        np.testing.assert_allclose(ours.logprob_BO[index], expected_V, atol=5e-5)


def test_counts_equal_a_naive_hooks(case: Case) -> None:
    counter = Counter(case.gates, len(ITEMS), len(Part))
    with counter.attached():
        case.ask(counter)
    K, T = counter.result()
    for index, inputs in enumerate(case.official):
        part_L = case.prompts[index].part_L
        for layer, positive_LN in enumerate(naive_positive(case, inputs)):
            for part in (Part.AUDIO, Part.TEXT):
                # A pre-activation within rounding of zero may fall on either side in another batch shape.
                difference = np.abs(K[index, part, layer].astype(int) - positive_LN[part_L == part].sum(0))
                assert difference.max() <= 1 and difference.sum() <= 2
        assert T[index, :2].tolist() == [(part_L == part).sum() for part in (0, 1)]
    if case.gates[0].experts:
        routed = counter.routed()
        assert (routed.sum(-1) == 2 * T[:, :, None]).all(), "two experts for every position"
        width = K.shape[-1] // case.gates[0].experts
        assert (K.reshape(*K.shape[:-1], -1, width).max(-1) <= routed).all()


def test_deep_holds_every_form_of_gate_against_slow_references(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selfcheck, "SECONDS", (0.25, 0.6))
    found = selfcheck.check(case.lm)
    assert all(found.values()), found


def test_deep_notices_a_deactivation_that_misses(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selfcheck, "SECONDS", (0.25, 0.6))
    monkeypatch.setattr(selfcheck, "scaled", lambda *args: nullcontext())
    assert not selfcheck.check(case.lm)["deactivation_equals_hook"]


def test_questions_keep_what_was_sent_to_each_expert(case: Case) -> None:
    rows = Questions(
        PaddedEngine(case.lm), case.rows, [("joy", "anger")] * 2, ("anger", "joy"), ("anger", "joy"), 4_096
    ).ask(3, counted=case.gates)
    if not case.gates[0].experts:
        assert rows.T_expert is None
        return
    assert rows.T is not None and rows.T_expert is not None
    assert (rows.T_expert.sum(-1) == 2 * rows.T[:, :, None]).all(), "two experts for every position"
    kept = rows.part(1, 2).T_expert
    assert kept is not None and np.array_equal(kept, rows.T_expert[1:])


def test_deactivation_equals_zeroed_weights_under_the_models_own_generate(case: Case) -> None:
    member_LN = np.random.default_rng(0).random((len(case.gates), case.gates[0].width)) < 0.4
    cut = copy.deepcopy(case.lm.model)
    for layer, member_N in zip(cut.get_decoder().layers, member_LN, strict=True):
        down = layer.mlp.experts.down_proj.data if hasattr(layer.mlp, "experts") else layer.mlp.down_proj.weight.data
        for neuron in np.flatnonzero(member_N):
            if down.dim() == 3:
                down[neuron // down.shape[2], :, neuron % down.shape[2]] = 0
            else:
                down[:, neuron] = 0
    expected = case.generated(cut)
    for how in ("fold", "gate"):
        with scaled(case.gates, member_LN, 0.0, how):
            assert case.ask().tokens == expected
    assert case.ask().tokens != expected, "a deactivation that changes no answer shows nothing"


def naive_positive(case: Case, inputs: dict[str, Tensor]) -> list[npt.NDArray[np.bool_]]:
    """[L, N] of each layer: whether SiLU of the gate projection is positive, by a plain hook on the projection."""
    lm, gates = case.lm, case.gates
    found: list[npt.NDArray[np.bool_]] = []

    def dense(module: Any, args: Any, u_BLN: Tensor) -> None:
        u_LN = u_BLN[0, :, : gates[0].width]  # of a fused projection the first half
        found.append((silu(u_LN) > 0).numpy())

    def experts(module: Any, args: Any, output: Any) -> None:
        x_LD, top_LK = args[0], args[1]
        width = module.down_proj.shape[2]
        positive_LN = np.zeros((len(x_LD), gates[0].width), bool)
        for position, chosen in enumerate(top_LK.tolist()):
            for e in chosen:
                u_I = linear(x_LD[position], module.gate_up_proj[e])[:width]
                positive_LN[position, e * width : (e + 1) * width] = (silu(u_I) > 0).numpy()
        found.append(positive_LN)

    handles = []
    for layer in lm.model.get_decoder().layers:
        if hasattr(layer.mlp, "experts"):
            handles.append(layer.mlp.experts.register_forward_hook(experts))
        else:
            projection = layer.mlp.gate_up_proj if hasattr(layer.mlp, "gate_up_proj") else layer.mlp.gate_proj
            handles.append(projection.register_forward_hook(dense))
    with torch.no_grad():
        lm.model(**inputs)
    for handle in handles:
        handle.remove()
    return found


def test_a_saved_folder_loads_whole_and_says_the_same(case: Case, tmp_path: Path) -> None:
    """Saved as transformers saves it, read by our loading path; weights that are lost on the way would be noise."""
    case.lm.model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    cls = model_class(config, str(tmp_path))
    assert cls is type(case.lm.model)
    loaded = load_transformers(cls, tmp_path, torch.float32, Placement(), unneeded=("model.visual.",))
    again = copy.copy(case)
    again.lm = GenericAudioLM(loaded, case.lm.processor)
    rows = [again.lm.encode(wave) for wave in case.waves]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(rows, case.rows, strict=True))
    again.batch = pad(again.lm, case.prompts, rows)
    said, expected = again.ask(), case.ask()
    assert said.tokens == expected.tokens and np.array_equal(said.logprob_BO, expected.logprob_BO)


def test_weights_on_disk_give_the_same_counts_and_deactivations_or_are_refused(case: Case, tmp_path: Path) -> None:
    """Separate and expert gates alike: nothing can be folded into a placeholder, so it is scaled at the gate."""
    case.lm.model.save_pretrained(tmp_path)
    room = Placement(offload="disk", memory=int(0.7 * sum(4 * p.numel() for p in case.lm.model.parameters())))
    model: Any = load_transformers(type(case.lm.model), tmp_path, torch.float32, room, unneeded=("model.visual.",))
    assert "disk" in model.hf_device_map.values()
    away = copy.copy(case)
    away.lm = GenericAudioLM(model, case.lm.processor)
    away.gates = find_gates(away.lm.decoder)
    if isinstance(model, transformers.Phi4MultimodalForCausalLM):  # its encoder asks a weight where it lies
        with pytest.raises(UserError, match="audio encoder offloaded") as error:
            probe_offloaded(away.lm, tmp_path)
        assert error.value.fix and "memory or gpus" in error.value.fix
        return
    away.batch = pad(away.lm, case.prompts, [away.lm.encode(wave) for wave in case.waves])
    assert not can_fold(away.gates) and [g.width for g in away.gates] == [g.width for g in case.gates]
    counters = [Counter(one.gates, len(ITEMS), len(Part)) for one in (away, case)]
    with counters[0].attached(), counters[1].attached():
        said, expected = away.ask(counters[0]), case.ask(counters[1])
    assert said.tokens == expected.tokens
    assert all(np.array_equal(*pair) for pair in zip(counters[0].result(), counters[1].result(), strict=True))
    member_LN = np.random.default_rng(0).random((len(case.gates), case.gates[0].width)) < 0.4
    with scaled(away.gates, member_LN, 0.0, "gate"), scaled(case.gates, member_LN, 0.0, "fold"):
        without = away.ask()
        assert without.tokens == case.ask().tokens != expected.tokens
    with pytest.raises(ValueError, match="offloaded placeholders: scale at the gate"):
        scaled(away.gates, member_LN, 0.0, "fold").__enter__()


@pytest.mark.parametrize("build", [qwen2_audio, musicflamingo, glmasr, granite_speech])
def test_a_saved_folder_gives_its_processor_too(build: Any, tools: Any, tmp_path: Path) -> None:
    model, processor = build(tools)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded = GenericAudioLM.load(tmp_path, torch.float32, Placement(), GenericAudioLM.settings)
    given, clip = GenericAudioLM(model.eval(), processor), tools.wave(16_000)
    assert torch.equal(loaded.encode(clip), given.encode(clip))
    assert loaded.prompt(7, "Which?").ids_L.tolist() == given.prompt(7, "Which?").ids_L.tolist()


def test_without_an_end_token_a_model_is_refused(tools: Any) -> None:
    """Every answer would run on to its limit, and its last integer would be read."""
    model, processor = qwen2_audio(tools)
    processor.tokenizer.eos_token = None
    model.generation_config.eos_token_id = model.config.text_config.eos_token_id = None
    with pytest.raises(UserError, match="no end token"):
        GenericAudioLM(model.eval(), processor)


def test_granite_without_peft_is_refused_rather_than_answered_without_its_adapter(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "granite_speech", "has_lora_adapter": True}))
    with pytest.raises(UserError, match="LoRA adapter") as error:
        GenericAudioLM.load(tmp_path, torch.float32, Placement(), GenericAudioLM.settings)
    assert error.value.fix == "pip install peft"
