"""Any gated audio-language model of transformers, through its own processor and its own merging of audio and text.

Nothing about a model is restated here. The audio embeddings of a clip are what the model passes to its decoder at
the audio positions. A prompt is what its processor makes of a probe clip, with as many placeholders as the clip needs.
"""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import soundfile
import torch
import transformers
from torch import Tensor

from esn_dist.corpora.audio import SAMPLE_RATE
from esn_dist.errors import UserError
from esn_dist.models.audio_lm import AudioLM, ClipTooShort, Prompt
from esn_dist.models.chat_prompt import conversation, prompt_of_ids, special_ids
from esn_dist.models.checkpoint import read_config
from esn_dist.models.from_pretrained import load_transformers
from esn_dist.models.generic.decoder_inputs import decoder_inputs
from esn_dist.models.generic.token_ids import audio_span, placeholder_id, stop_ids
from esn_dist.models.placement import Placement
from esn_dist.models.processor import MISTRAL, load_processor
from esn_dist.models.structure import config_of, unsupported
from esn_dist.sweep.model_catalog import BUILTIN_ADAPTERS, GENERIC

PROBE = np.zeros(SAMPLE_RATE, np.float32)
# Published whole (a thinker and a speech branch); loaded as the part that writes text. By `model_type`.
THINKERS = {"qwen3_omni_moe": "Qwen3OmniMoeThinkerForConditionalGeneration"}


class GenericAudioLM(AudioLM[dict[str, Tensor]]):
    """Adapter around any loaded audio-language model and its processor."""

    settings: ClassVar = BUILTIN_ADAPTERS[GENERIC].settings
    unneeded_weights: ClassVar = ("model.visual.",)  # vision towers, which an audio prompt never reaches

    def __init__(self, model: Any, processor: Any, settings: Mapping[str, str] = settings) -> None:
        self.model, self.processor = model, processor
        self.decoder = model.get_decoder()
        self.head = model.get_output_embeddings()
        self.embedding = model.get_input_embeddings()
        self.tokenizer = processor.tokenizer
        self.system_prompt, self.order = settings["system_prompt"], settings["order"]
        self.placeholder = placeholder_id(model.config, processor)
        self.stop_ids = stop_ids(model, self.tokenizer)
        self._processor_options = _sampling_rate(processor)
        self._processor_lock = Lock()  # a call changes the tokenizer's settings
        self._ids_around_audio = lru_cache(maxsize=4_096)(self._probe)
        if hasattr(model, "set_experts_implementation"):
            model.set_experts_implementation("eager")  # others call the activation once for all experts together

    @classmethod
    def transformers_class(cls, config: Mapping[str, Any], where: str) -> Any:
        thinker = THINKERS.get(str(config.get("model_type")))
        return getattr(transformers, thinker) if thinker else super().transformers_class(config, where)

    @classmethod
    def load(
        cls, source: Path, dtype: torch.dtype, placement: Placement, settings: Mapping[str, str]
    ) -> GenericAudioLM:
        config = read_config(source)
        if config.get("has_lora_adapter"):
            _require_peft(source)
        model_class = cls.transformers_class(config, str(source))
        if reason := unsupported(config_of(model_class, config).get_text_config(), "sparse_gates" in settings):
            raise UserError(f"{model_class.__name__}: {reason}", where=str(source))
        model = load_transformers(model_class, source, dtype, placement, cls.unneeded_weights)
        if getattr(model, "_hf_peft_config_loaded", False):
            model.enable_adapters()  # made for audio prompts, and every prompt here has audio
        lm = cls(model, load_processor(source), settings)
        if placement.offload:
            _check_offloaded_encoder(lm, source)
        return lm

    def preprocess(self, wave_S: npt.NDArray[np.float32]) -> dict[str, Tensor]:
        inputs = self.official_inputs(wave_S, "")
        audio_L = inputs["input_ids"][0] == self.placeholder
        if not audio_L.any():
            raise ClipTooShort(f"{len(wave_S)} samples give no audio token")
        audio_span(audio_L)
        return inputs

    @torch.inference_mode()
    def encode_audio(self, input_features: Iterable[dict[str, Tensor]]) -> list[Tensor]:
        return [self._encode_one(inputs) for inputs in input_features]

    def _encode_one(self, inputs: dict[str, Tensor]) -> Tensor:
        """Audio embeddings [R, D]: the decoder's inputs [1, L, D] at the audio positions."""
        first, last = audio_span(inputs["input_ids"][0] == self.placeholder)
        on_device = {name: self._on_device(tensor) for name, tensor in inputs.items()}
        return decoder_inputs(self.model, self.decoder, on_device)[0, first : last + 1]

    def prompt(self, audio_tokens: int, text: str) -> Prompt:
        before, after = self._ids_around_audio(text)
        ids = [*before, *[self.placeholder] * audio_tokens, *after]
        return prompt_of_ids(ids, self.placeholder, special_ids(self.tokenizer))

    def official_inputs(self, wave_S: npt.NDArray[np.float32], text: str) -> dict[str, Tensor]:
        """The processor's own inputs of one clip and prompt: `input_ids` [1, L] and features."""
        messages = conversation(self.system_prompt, text, self.order)
        with self._processor_lock:
            if type(self.tokenizer).__name__ == MISTRAL:
                return dict(self.processor.apply_chat_template(_with_samples(messages, wave_S)))
            chat = self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            return dict(self.processor(text=[chat], audio=[wave_S], return_tensors="pt", **self._processor_options))

    def _probe(self, text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Ids before and after the audio of a prompt."""
        ids_L = self.official_inputs(PROBE, text)["input_ids"][0]
        first, last = audio_span(ids_L == self.placeholder)
        return tuple(ids_L[:first].tolist()), tuple(ids_L[last + 1 :].tolist())

    def _on_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, self.dtype if tensor.is_floating_point() else None)


def _sampling_rate(processor: Any) -> dict[str, Any]:
    """Options that give the sampling rate to an extractor that takes one; without it some warn at every clip."""
    extractor = getattr(processor, "feature_extractor", None) or getattr(processor, "audio_processor", None)
    takes_rate = extractor is not None and "sampling_rate" in signature(type(extractor).__call__).parameters
    return {"audio_kwargs": {"sampling_rate": SAMPLE_RATE}} if takes_rate else {}


def _check_offloaded_encoder(lm: GenericAudioLM, source: Path) -> None:
    """Encode one clip. A model that reads a weight's device outside its module's call fails under offload."""
    try:
        lm.encode_clip(PROBE)
    except NotImplementedError as error:
        raise UserError(
            f"{type(lm.model).__name__} does not run with its audio encoder offloaded: {error}", where=str(source),
            fix="set memory or gpus so that all of it fits, without offload",
        ) from None  # fmt: skip


def _require_peft(source: Path) -> None:
    if not find_spec("peft"):
        raise UserError(
            "the model needs its LoRA adapter for audio, and peft is not installed; without it answers are wrong",
            where=str(source), fix="pip install peft",
        )  # fmt: skip


def _with_samples(messages: list[dict[str, Any]], wave_S: npt.NDArray[np.float32]) -> list[dict[str, Any]]:
    """Messages with the clip itself, of which mistral-common's tokenizers make the audio tokens."""
    for part in messages[-1]["content"]:
        if part["type"] == "audio":
            part["base64"] = _wav_base64(wave_S)
            part.pop("audio")
    return messages


def _wav_base64(wave_S: npt.NDArray[np.float32]) -> str:
    """A float WAV file as base64 text, bit for bit."""
    file = io.BytesIO()
    soundfile.write(file, wave_S, SAMPLE_RATE, format="WAV", subtype="FLOAT")
    return b64encode(file.getvalue()).decode()
