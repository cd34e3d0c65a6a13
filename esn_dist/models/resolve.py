"""What a sweep's model is, without loading it: adapter, dtype, settings, gates.

Reads the catalogue and the checkpoint's `config.json`. Light where it can be, so that the driver, which never runs a
model, need not wait for torch and transformers.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from esn_dist.errors import UserError
from esn_dist.models.checkpoint import read_config
from esn_dist.sweep.model_catalog import ANY, known_models
from esn_dist.sweep.spec import ModelSpec

# Each adapter's defaults for what changes answers but not weights; kept in the store.
DEFAULTS: dict[str, dict[str, str]] = {
    "qwen2.5-omni": {"system_prompt": "You are a helpful assistant.", "order": "audio, text"},
    "audio-flamingo-3": {"system_prompt": "You are a helpful assistant.", "order": "audio, text"},
    "kimi-audio": {"system_prompt": "", "order": "text, audio"},
    "generic": {"system_prompt": "", "order": "audio, text"},
}
# How the architectures begin that have an adapter of their own.
ARCHITECTURES = {"Qwen2_5Omni": "qwen2.5-omni", "AudioFlamingo3": "audio-flamingo-3", "MoonshotKimia": "kimi-audio"}


def adapter_name(spec: ModelSpec, folder: Path) -> str:
    """Name of the adapter: the registered model's, or the one for the architecture that the folder names."""
    if spec.model in known_models():
        return str(known_models()[spec.model]["adapter"])
    architecture = str((read_config(folder).get("architectures") or [""])[0])
    return next((name for start, name in ARCHITECTURES.items() if architecture.startswith(start)), "generic")


def dtype_name(spec: ModelSpec, folder: Path) -> str:
    """The compute dtype's name: the spec's, the registered one, or that of the checkpoint (bfloat16 if it has none)."""
    if spec.dtype or spec.model in known_models():
        return str(spec.dtype or known_models()[spec.model]["dtype"])
    whole = read_config(folder)
    parts = [whole, whole.get("thinker_config") or {}, whole.get("text_config") or {}]
    named = [part.get(key) for part in parts for key in ("dtype", "torch_dtype")]
    return next((name for name in named if name in ("float32", "bfloat16", "float16")), "bfloat16")


def model_settings(spec: ModelSpec, folder: Path) -> dict[str, str]:
    """What changes answers or counts but not weights: the spec's choices over the adapter's defaults."""
    chosen = {
        "system_prompt": spec.system_prompt, "order": spec.order, "sparse_gates": "yes" if spec.sparse_gates else None
    }  # fmt: skip
    return {
        **DEFAULTS[adapter_name(spec, folder)],
        **{name: value for name, value in chosen.items() if value is not None},
    }


class GateShape(NamedTuple):
    """Decoder layers, gates in each (of all its experts together), and experts in each; 0 where layers are dense."""

    layers: int
    width: int
    experts: int = 0


def gate_shape(folder: Path, sparse: bool = False) -> GateShape:
    """A model's gates, from the checkpoint's configuration alone.

    Raises:
        UserError: the model has no gates that could be studied; says why.
    """
    config = read_config(folder)
    if (direct := _gated_qwen2(config)) is not None:
        return direct
    from esn_dist.models.structure import inspect_config

    structure = inspect_config(config, str(folder), sparse)
    if structure.layers is None or structure.width is None:
        raise UserError(f"{structure.architecture} is not supported: {structure.reason}", where=str(folder))
    return GateShape(structure.layers, structure.width, structure.experts or 0)


def local_gate_shapes(models: Iterable[ModelSpec]) -> dict[str, tuple[int, int]]:
    """Layers and width, by name, of models that no registry knows and whose folder is here.

    A light install reads those of Qwen2 decoders only; what it cannot tell is left out.
    """
    found = {}
    for model in models:
        if model.model == ANY and model.source and Path(model.source).is_dir():
            with suppress(ImportError):
                found[model.name] = gate_shape(Path(model.source), model.sparse_gates)[:2]
    return found


# The models whose decoder is Qwen2: every layer has one gated MLP of the stated width, with SiLU.
_QWEN2_DECODERS = {"qwen2_5_omni_text", "qwen2"}


def _gated_qwen2(config: dict[str, Any]) -> GateShape | None:
    """Layers and gates of a Qwen2 decoder, read off; None for any other, which is built on the meta device."""
    whole = config.get("thinker_config", config)
    text = whole.get("text_config", {})
    if text.get("model_type") not in _QWEN2_DECODERS or text.get("hidden_act", "silu") != "silu":
        return None
    return GateShape(int(text["num_hidden_layers"]), int(text["intermediate_size"]))
