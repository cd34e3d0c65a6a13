"""From a model's name to its loaded adapter, placed by accelerate."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from esn_dist.errors import UserError
from esn_dist.models.audio_flamingo_3.adapter import AudioFlamingo3
from esn_dist.models.audio_lm import AudioLM
from esn_dist.models.download import locate_checkpoint
from esn_dist.models.generic.adapter import GenericAudioLM
from esn_dist.models.kimi_audio.adapter import KimiAudio
from esn_dist.models.placement import GB, Placement
from esn_dist.models.qwen2_5_omni.adapter import Qwen25Omni
from esn_dist.models.resolve import adapter_name, dtype_name, model_settings
from esn_dist.sweep.model_catalog import known_models
from esn_dist.sweep.spec import ModelSpec

ADAPTERS: dict[str, type[AudioLM]] = {
    "qwen2.5-omni": Qwen25Omni,
    "audio-flamingo-3": AudioFlamingo3,
    "kimi-audio": KimiAudio,
    "generic": GenericAudioLM,
}
UNNEEDED_WEIGHTS = ("model.visual.",)  # vision towers, which an audio question never reaches


def spec_of(model: str) -> ModelSpec:
    """The spec of a registered name, or of a folder or hub id, whose adapter is told by its architecture.

    Raises:
        UserError: neither.
    """
    if model in known_models():
        return ModelSpec.model_validate(model)
    if not Path(model).is_dir() and ("/" not in model or model.startswith((".", "/"))):
        raise UserError(
            f"{model!r} is no registered model, folder or hub id: nothing can be loaded",
            expected=f"one of {', '.join(known_models())}; or a folder, or OWNER/NAME",
        )
    return ModelSpec.model_validate({"name": "doctor", "source": model})


def load(spec: ModelSpec, device: Literal["cpu", "cuda"]) -> AudioLM:
    """The model on `device`: over `spec.gpus` GPUs, with a rest offloaded where the spec allows it."""
    memory = None if spec.memory is None else round(spec.memory * GB)
    placement = Placement(device, spec.gpus if device == "cuda" else 1, spec.offload, memory)
    folder = locate_checkpoint(spec)
    adapter = ADAPTERS[adapter_name(spec, folder)]
    return adapter.load(folder, getattr(torch, dtype_name(spec, folder)), placement, model_settings(spec, folder))
