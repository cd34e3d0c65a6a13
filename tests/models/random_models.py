"""Tiny random audio-language models of transformers' own classes, each with its own processor and nothing left out.

Processors that insist on parts for pictures, which need torchvision, are built with that demand switched off.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers.audio_utils import mel_filter_bank
from transformers.models.granite_speech import feature_extraction_granite_speech as granite_module

from tests.models.synthetic_inputs import byte_tokenizer, redraw

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


def words(placeholder: str = "<|AUDIO|>") -> Any:
    extra = {"audio_token": "<|AUDIO|>", "image_token": "<|IMAGE|>", "video_token": "<|VIDEO|>"}
    extra |= {"vision_bos_token": "<|vision_bos|>", "vision_eos_token": "<|vision_eos|>"}
    extra |= {"audio_bos_token": "<|audio_bos|>", "audio_eos_token": "<|audio_eos|>"}
    return byte_tokenizer(SPECIALS, template(placeholder), "<|endoftext|>", "<|im_end|>", extra_special_tokens=extra)


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


def qwen2_audio() -> tuple[Any, Any]:
    config = transformers.Qwen2AudioConfig(
        audio_config=WHISPER, text_config={"model_type": "qwen2", **TEXT}, audio_token_index=AUDIO
    )
    processor = transformers.Qwen2AudioProcessor(
        whisper_mel(), words(), chat_template=template("<|audio_bos|><|AUDIO|><|audio_eos|>\n")
    )
    return transformers.Qwen2AudioForConditionalGeneration(config), processor


def musicflamingo() -> tuple[Any, Any]:
    text = {"model_type": "qwen2", **TEXT}
    config = transformers.MusicFlamingoConfig(
        audio_config={"model_type": "audioflamingo3_encoder", **SMALL}, text_config=text, audio_token_id=AUDIO
    )
    config.audio_bos_token_id, config.audio_eos_token_id = AUDIO + 1, AUDIO + 2
    processor = transformers.MusicFlamingoProcessor(
        whisper_mel(), words(), chat_template=template("<|AUDIO|>"), audio_token="<|AUDIO|>",
        audio_bos_token="<|audio_bos|>", audio_eos_token="<|audio_eos|>",
    )  # fmt: skip
    return transformers.MusicFlamingoForConditionalGeneration(config), processor


def glmasr() -> tuple[Any, Any]:
    config = transformers.GlmAsrConfig(
        audio_config={**SMALL, "intermediate_size": 64, "num_key_value_heads": 2},
        text_config={"model_type": "llama", **TEXT}, audio_token_id=AUDIO,
    )  # fmt: skip
    processor = transformers.GlmAsrProcessor(
        whisper_mel(), words(), chat_template=template("<|AUDIO|>"), audio_token="<|AUDIO|>"
    )
    return transformers.GlmAsrForConditionalGeneration(config), processor


def granite_speech() -> tuple[Any, Any]:
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
    processor = transformers.GraniteSpeechProcessor(extractor, words(), chat_template=template("<|AUDIO|>"))
    return transformers.GraniteSpeechForConditionalGeneration(config), processor


class Mel(torch.nn.Module):
    """torchaudio's MelSpectrogram, restated: its wheels do not load with a torch without CUDA."""

    def __init__(self, sample_rate: int, n_fft: int, win_length: int, hop_length: int, n_mels: int) -> None:
        super().__init__()
        self.sizes = (n_fft, hop_length, win_length)
        filters = mel_filter_bank(n_fft // 2 + 1, n_mels, 0.0, sample_rate / 2, sample_rate, mel_scale="htk")
        self.filters_FM = torch.tensor(filters, dtype=torch.float32)

    def forward(self, wave_BS: Tensor) -> Tensor:
        window = torch.hann_window(self.sizes[2])
        spectrum_BFT = torch.stft(wave_BS, *self.sizes, window=window, return_complex=True)
        return (spectrum_BFT.abs().square().mT @ self.filters_FM).mT


def phi4_multimodal() -> tuple[Any, Any]:
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
            None, Phi4MultimodalFeatureExtractor(), words(), chat_template=template("<|AUDIO|>")
        )
    return transformers.Phi4MultimodalForCausalLM(config), processor


def qwen3_omni_moe() -> tuple[Any, Any]:
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
            None, None, whisper_mel(), words(), chat_template=template("<|audio_bos|><|AUDIO|><|audio_eos|>")
        )
    return transformers.Qwen3OmniMoeThinkerForConditionalGeneration(config), processor


BUILDERS = (qwen2_audio, musicflamingo, glmasr, granite_speech, phi4_multimodal, qwen3_omni_moe)


def drawn(build: Callable[[], tuple[Any, Any]], seed: int = 4) -> tuple[Any, Any]:
    """What `build` gives, with weights wide enough that answers differ."""
    torch.manual_seed(0)
    model, processor = build()
    redraw(model, seed)
    return model.eval(), processor


def save(model: Any, processor: Any, folder: Path) -> None:
    """The folder as the hub has it: a processor with parts for pictures is written part by part."""
    model.save_pretrained(folder)
    if not hasattr(processor, "image_processor"):
        processor.save_pretrained(folder)
        return
    processor.tokenizer.save_pretrained(folder)
    extractor = getattr(processor, "feature_extractor", None) or processor.audio_processor
    named = {**extractor.to_dict(), "processor_class": type(processor).__name__}
    (folder / "preprocessor_config.json").write_text(json.dumps(named))
    (folder / "chat_template.jinja").write_text(processor.chat_template)
