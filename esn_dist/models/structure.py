"""A model's gates and sizes from its configuration alone; whether it is supported, or why not.

The model is built on the meta device, so neither weights nor memory are needed. Knows no folder and no adapter.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import transformers
from torch import nn
from transformers import CONFIG_MAPPING, GenerationMixin

from esn_dist.errors import UserError, did_you_mean
from esn_dist.gates.find import Gate, UnsupportedGates, find_gates
from esn_dist.models.from_pretrained import quiet, skeleton

UNUSED = ("visual", "vision_tower", "image_embed")  # modules that an audio prompt never reaches


class UnknownArchitecture(UserError):
    """transformers has no class for a checkpoint."""


@dataclass(frozen=True, slots=True)
class ModelStructure:
    """A model's gates and sizes.

    Attributes:
        architecture: class that holds the weights.
        layers, width: decoder layers, and gates in each (those of all experts together).
        experts: per layer; 0 where layers are dense.
        activation: class of the function between u and g.
        form: how gate and up projection are stored: separate, fused or experts.
        parameters, decoder_parameters: of all that is loaded, and of the text decoder.
        reason: why neurons cannot be identified or scaled; None where they can.
    """

    architecture: str
    layers: int | None = None
    width: int | None = None
    experts: int | None = None
    activation: str | None = None
    form: str | None = None
    parameters: int | None = None
    decoder_parameters: int | None = None
    reason: str | None = None

    @property
    def supported(self) -> bool:
        """Whether neurons can be identified and scaled."""
        return self.reason is None

    @property
    def neurons(self) -> int | None:
        """Gates of the whole decoder, of which a mask holds the fraction r."""
        return self.layers * self.width if self.layers and self.width else None


def inspect_class(cls: Any, raw: Mapping[str, Any], sparse: bool = False) -> ModelStructure:
    """The structure of transformers' class `cls` with the `config.json` `raw`.

    Args:
        sparse: whether gates that a top-k sets to zero are wanted.
    """
    if "audio" not in cls.input_modalities:
        return ModelStructure(cls.__name__, reason="the model takes no audio")
    try:
        with quiet():
            config = config_of(cls, raw)
            if reason := unsupported(config.get_text_config(), sparse):
                return ModelStructure(cls.__name__, reason=reason)
            model = skeleton(cls, config)
    except (ImportError, ValueError, TypeError, AttributeError, KeyError) as error:
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        return ModelStructure(cls.__name__, reason=f"the model cannot be built: {first.strip()}")
    return inspect_modules(cls.__name__, model, _text_decoder(model), sparse)


def inspect_modules(architecture: str, model: nn.Module, decoder: nn.Module, sparse: bool = False) -> ModelStructure:
    """The structure of a model that exists on the meta device."""
    parameters, decoder_parameters = _count(model), _count(decoder)
    try:
        gates = find_gates(decoder, sparse)
    except UnsupportedGates as error:
        return ModelStructure(
            architecture, parameters=parameters, decoder_parameters=decoder_parameters, reason=str(error)
        )
    first = gates[0]
    return ModelStructure(
        architecture, len(gates), first.width, first.experts, type(first.activation).__name__, _form(first, decoder),
        parameters, decoder_parameters,
    )  # fmt: skip


def unsupported(text: Any, sparse: bool = False) -> str | None:
    """Every reason in the configuration `text` of a decoder why it cannot be studied; None where there is none."""
    reasons = (None if sparse else _sparse(text), _windowed(text), _reading_ids(text))
    return "; and ".join(reason for reason in reasons if reason) or None


def _sparse(text: Any) -> str | None:
    shares = [share for share in getattr(text, "activation_sparsity_pattern", None) or () if share]
    if not shares:
        return None
    return (
        f"in {len(shares)} layers {max(shares):.0%} of the gates are set to zero by a top-k before the activation, "
        "so positive-activation counts mean something else (sparse_gates: true asks for them as they are)"
    )


def _windowed(text: Any) -> str | None:
    types = set(getattr(text, "layer_types", None) or ())
    window = getattr(text, "sliding_window", None) if getattr(text, "use_sliding_window", True) else None
    if "sliding_attention" not in types and (types or not window):
        return None
    return f"the decoder attends within a sliding window of {window}, which a batch's padding would fill"


def _reading_ids(text: Any) -> str | None:
    if not getattr(text, "hidden_size_per_layer_input", 0):
        return None
    return "every layer also reads the token ids, which the positions of a clip do not have"


def transformers_class(raw: Mapping[str, Any], where: str) -> Any:
    """transformers' class for a `config.json`, by its `architectures`.

    Raises:
        UnknownArchitecture: transformers has none. Code from a checkpoint is never run.
    """
    for name in raw.get("architectures") or ():
        if (cls := getattr(transformers, name, None)) is not None and hasattr(cls, "config_class"):
            return cls
    raise UnknownArchitecture(
        f"transformers {transformers.__version__} has no class {raw.get('architectures')} of type "
        f"{raw.get('model_type')!r}, and code that comes with weights is never run",
        where=where, fix="name a registered model, or give its adapter the method AudioLM.structure",
    )  # fmt: skip


def config_of(cls: Any, raw: Mapping[str, Any]) -> Any:
    """The configuration object of `cls`: of the whole `config.json`, or of the part for the thinker."""
    part = raw.get("thinker_config", raw)
    return cls.config_class.from_dict({k: v for k, v in part.items() if k != "quantization_config"})


def default_config(model_type: str) -> dict[str, Any]:
    """The `config.json` of a model of this type with all of transformers' defaults."""
    if model_type not in CONFIG_MAPPING:
        hint = did_you_mean(model_type, CONFIG_MAPPING)
        raise UserError(f"{model_type!r} is no registered model, folder, hub id or model type.{hint}")
    with quiet():
        config = CONFIG_MAPPING[model_type]()
        prefix = type(config).__name__.removesuffix("Config").rstrip("_")
        architectures = [n for n in dir(transformers) if n.startswith(prefix) and _generates(n, type(config))]
    architectures.sort(key=lambda name: not name.endswith("ForConditionalGeneration"))
    return {**config.to_dict(), "architectures": architectures[:1], "model_type": model_type}


def _generates(name: str, config: type) -> bool:
    with contextlib.suppress(Exception):  # classes whose optional packages are missing raise on any access
        cls = getattr(transformers, name)
        return cls.config_class is config and issubclass(cls, GenerationMixin)
    return False


def _text_decoder(model: Any) -> nn.Module:
    """The module that holds the text layers; the decoder of some models has it inside."""
    decoder: nn.Module = model.get_decoder()
    with_layers = [m for m in decoder.modules() if isinstance(getattr(m, "layers", None), nn.ModuleList)]
    return with_layers[0] if with_layers else decoder


def _form(gate: Gate, decoder: nn.Module) -> str:
    if gate.experts:
        return "experts"
    fused = any(name.endswith("gate_up_proj.weight") for name, _ in decoder.named_parameters())
    return "fused" if fused else "separate"


def _count(module: nn.Module) -> int:
    return sum(p.numel() for name, p in module.named_parameters() if not any(part in name for part in UNUSED))
