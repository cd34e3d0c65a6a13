"""From a model's name to its loaded adapter, placed by accelerate."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from esn_dist.errors import UserError
from esn_dist.models.audio_flamingo_3 import AudioFlamingo3
from esn_dist.models.audio_lm import AudioLM
from esn_dist.models.checkpoint import read_config
from esn_dist.models.generic import GenericAudioLM
from esn_dist.models.kimi_audio.adapter import KimiAudio
from esn_dist.models.placement import GB, Placement
from esn_dist.models.qwen2_5_omni import Qwen25Omni
from esn_dist.models.source import dtype_of, locate, settings
from esn_dist.sweep.spec import ModelSpec
from esn_dist.sweep.words import known_models

ADAPTERS: dict[str, type[AudioLM]] = {
    "qwen2.5-omni": Qwen25Omni,
    "audio-flamingo-3": AudioFlamingo3,
    "kimi-audio": KimiAudio,
    "generic": GenericAudioLM,
}
UNNEEDED_WEIGHTS = ("model.visual.",)  # vision towers, which an audio question never reaches


def spec_of(model: str) -> ModelSpec:
    """The spec of a registered name, or of a folder, whose adapter is told by its architecture.

    Raises:
        UserError: neither.
    """
    if model in known_models():
        return ModelSpec.model_validate(model)
    if not Path(model).is_dir():
        raise UserError(f"{model!r} is neither a registered model nor a folder", expected=", ".join(known_models()))
    architecture = str((read_config(Path(model)).get("architectures") or [""])[0])
    starts = {"Qwen2_5Omni": "qwen2.5-omni-7b", "AudioFlamingo3": "audio-flamingo-3", "MoonshotKimia": "kimi-audio-7b"}
    like = next((name for start, name in starts.items() if architecture.startswith(start)), "qwen2-audio-7b")
    return ModelSpec.model_validate({"name": "doctor", "model": like, "source": model})


def load(spec: ModelSpec, device: Literal["cpu", "cuda"]) -> AudioLM:
    """The model on `device`: over `spec.gpus` GPUs, with a rest offloaded where the spec allows it."""
    memory = None if spec.memory is None else round(spec.memory * GB)
    placement = Placement(device, spec.gpus if device == "cuda" else 1, spec.offload, memory)
    return _adapter(spec).load(locate(spec), getattr(torch, dtype_of(spec)), placement, settings(spec))


def _adapter(spec: ModelSpec) -> type[AudioLM]:
    return ADAPTERS[known_models()[spec.model]["adapter"]]
