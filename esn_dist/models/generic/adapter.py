"""Any gated audio-language model of transformers, through its own processor and its own merging of audio and text.

Nothing about a model is restated here. A clip's rows are what the model itself hands to its decoder at the audio
positions: its forward call is run up to the decoder and stopped there. A prompt is what its processor makes of a probe
clip, with the audio placeholder repeated as often as the clip has rows.
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
from torch import Tensor

from esn_dist.errors import UserError
from esn_dist.models.audio_lm import AudioLM, ClipTooShort, Prompt
from esn_dist.models.chat_prompt import conversation, marked, special_ids
from esn_dist.models.checkpoint import read_config
from esn_dist.models.from_pretrained import load_transformers
from esn_dist.models.placement import Placement
from esn_dist.models.processor import MISTRAL, load_processor
from esn_dist.models.resolve import DEFAULTS
from esn_dist.models.structure import config_of, model_class, unsupported

RATE = 16_000
PROBE = np.zeros(RATE, np.float32)


class GenericAudioLM(AudioLM):
    """Adapter around any loaded audio-language model and its processor."""

    settings: ClassVar = DEFAULTS["generic"]

    def __init__(self, model: Any, processor: Any, settings: Mapping[str, str] = settings) -> None:
        self.model, self.processor = model, processor
        self.decoder = model.get_decoder()
        self.head = model.get_output_embeddings()
        self.embedding = model.get_input_embeddings()
        self.tokenizer = processor.tokenizer
        self.system_prompt, self.order = settings["system_prompt"], settings["order"]
        self.placeholder = placeholder_id(model.config, processor)
        self.stop_ids = stop_ids(model, self.tokenizer)
        extractor = getattr(processor, "feature_extractor", None) or getattr(processor, "audio_processor", None)
        takes_rate = extractor is not None and "sampling_rate" in signature(type(extractor).__call__).parameters
        self._rate = {"audio_kwargs": {"sampling_rate": RATE}} if takes_rate else {}
        self._processing = Lock()  # a tokenizer's settings are changed by its call
        self._template = lru_cache(maxsize=4_096)(self._probe_ids)
        if hasattr(model, "set_experts_implementation"):
            model.set_experts_implementation("eager")  # others call the activation once for all experts together

    @classmethod
    def load(
        cls, source: Path, dtype: torch.dtype, placement: Placement, settings: Mapping[str, str]
    ) -> GenericAudioLM:
        config = read_config(source)
        if config.get("has_lora_adapter"):
            _require_peft(source)
        model_type = model_class(config, str(source))
        if reason := unsupported(config_of(model_type, config).get_text_config(), "sparse_gates" in settings):
            raise UserError(f"{model_type.__name__}: {reason}", where=str(source))
        model = load_transformers(model_type, source, dtype, placement, unneeded=("model.visual.",))
        if getattr(model, "_hf_peft_config_loaded", False):
            model.enable_adapters()  # made for audio prompts, and every prompt here has audio
        processor = load_processor(source)
        lm = cls(model, processor, settings)
        if placement.offload:
            _probe_offloaded(lm, source)
        return lm

    def preprocess(self, wave_S: npt.NDArray[np.float32]) -> dict[str, Tensor]:
        inputs = self.official(wave_S, "")
        audio_L = inputs["input_ids"][0] == self.placeholder
        if not audio_L.any():
            raise ClipTooShort(f"{len(wave_S)} samples give no audio token")
        _one_run(audio_L)
        return inputs

    @torch.inference_mode()
    def encode_audio(self, heard: Iterable[dict[str, Tensor]]) -> list[Tensor]:
        return [self._rows(inputs) for inputs in heard]

    def _rows(self, inputs: dict[str, Tensor]) -> Tensor:
        first, last = _one_run(inputs["input_ids"][0] == self.placeholder)
        return self._entering_decoder(inputs)[0, first : last + 1]

    def prompt(self, rows: int, text: str) -> Prompt:
        before, after = self._template(text)
        return marked([*before, *[self.placeholder] * rows, *after], self.placeholder, special_ids(self.tokenizer))

    def official(self, wave_S: npt.NDArray[np.float32], text: str) -> dict[str, Tensor]:
        """The processor's own inputs of one clip and question."""
        with self._processing:
            return self._official(wave_S, text)

    def _official(self, wave_S: npt.NDArray[np.float32], text: str) -> dict[str, Tensor]:
        messages = conversation(self.system_prompt, text, self.order)
        if type(self.tokenizer).__name__ == MISTRAL:  # it makes audio tokens from the clip itself
            for part in messages[-1]["content"]:
                if part["type"] == "audio":
                    part["base64"] = _as_wav(wave_S)
                    part.pop("audio")
            return dict(self.processor.apply_chat_template(messages))
        chat = self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        # Without its rate some extractors warn at every clip.
        return dict(self.processor(text=[chat], audio=[wave_S], return_tensors="pt", **self._rate))

    def _probe_ids(self, text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Ids before and after the audio of a question."""
        ids_L = self.official(PROBE, text)["input_ids"][0]
        first, last = _one_run(ids_L == self.placeholder)
        return tuple(ids_L[:first].tolist()), tuple(ids_L[last + 1 :].tolist())

    def _entering_decoder(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Embeddings [1, L, D] that the model's own forward call hands to its decoder."""

        def at_decoder(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
            if kwargs.get("inputs_embeds") is not None:
                raise _Reached(kwargs["inputs_embeds"])

        def at_first_layer(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
            raise _Reached(args[0] if args else kwargs["hidden_states"])

        hooks = [
            self.decoder.register_forward_pre_hook(at_decoder, with_kwargs=True),
            self.decoder.layers[0].register_forward_pre_hook(at_first_layer, with_kwargs=True),  # type: ignore
        ]
        try:
            self.model(**{name: self._placed(value) for name, value in inputs.items()}, use_cache=False)
        except _Reached as reached:
            return reached.embedded_BLD
        finally:
            for hook in hooks:
                hook.remove()
        raise RuntimeError(f"{type(self.model).__name__} never called its decoder")

    def _placed(self, value: Tensor) -> Tensor:
        return value.to(self.device, self.dtype if value.is_floating_point() else None)


class _Reached(Exception):
    """Thrown from inside a forward call when the embeddings are complete."""

    def __init__(self, embedded_BLD: Tensor) -> None:
        super().__init__()
        self.embedded_BLD = embedded_BLD


def placeholder_id(config: Any, processor: Any) -> int:
    """The token that stands for a row of audio, from the configuration or the processor.

    Raises:
        UserError: neither names it.
    """
    for owner in (config, getattr(config, "audio_config", None), processor):
        for name in ("audio_token_id", "audio_token_index"):
            if isinstance(found := getattr(owner, name, None), int):
                return found
    raise UserError(f"{type(config).__name__} names no audio placeholder", expected="audio_token_id")


def stop_ids(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Every end token that the checkpoint names anywhere; any of them ends an answer.

    Raises:
        UserError: none is named, so that every answer would run to its limit.
    """
    named = (
        getattr(model.generation_config, "eos_token_id", None),
        getattr(model.config.get_text_config(), "eos_token_id", None),
        tokenizer.eos_token_id,
    )
    found = [i for ids in named for i in (ids if isinstance(ids, Iterable) else [ids]) if i is not None]
    if not found:
        raise UserError("the checkpoint names no end token", expected="eos_token_id in generation_config.json")
    return tuple(dict.fromkeys(found))


def _one_run(audio_L: Tensor) -> tuple[int, int]:
    """First and last audio position, which must be one run: a prompt is cut there."""
    at = audio_L.nonzero().flatten()
    if not len(at) or int(at[-1] - at[0]) + 1 != len(at):
        raise ValueError("the processor does not make one unbroken run of audio placeholders of one clip")
    return int(at[0]), int(at[-1])


def _probe_offloaded(lm: GenericAudioLM, source: Path) -> None:
    """Encode one clip: a model that reads a weight's device beside its module's call finds a placeholder there."""
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


def _as_wav(wave_S: npt.NDArray[np.float32]) -> str:
    """A float WAV file as base64 text, bit for bit."""
    file = io.BytesIO()
    soundfile.write(file, wave_S, RATE, format="WAV", subtype="FLOAT")
    return b64encode(file.getvalue()).decode()
