"""What a model is made of, from its configuration alone: gates, sizes, memory; and whether it is supported, or why not.

Builds the model on the meta device, so neither weights nor memory are needed. Knows nothing of folders' contents.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import nn
from transformers import CONFIG_MAPPING, GenerationMixin, Qwen2Model
from transformers.utils import logging

from esn_dist.errors import UserError, did_you_mean
from esn_dist.gates.find import Gate, NoGates, find_gates
from esn_dist.models.kimi_audio.config import ARCHITECTURE as KIMI

# Published whole (a thinker and a speech branch), loaded as the part that writes text.
PARTS = {
    "qwen2_5_omni": "Qwen2_5OmniThinkerForConditionalGeneration",
    "qwen3_omni_moe": "Qwen3OmniMoeThinkerForConditionalGeneration",
}
UNUSED = ("visual", "vision_tower", "image_embed")  # parts that an audio question never reaches


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
        supported: whether neurons can be identified and scaled; else `reason` says what is in the way.
    """

    architecture: str
    layers: int | None
    width: int | None
    experts: int | None
    activation: str | None
    form: str | None
    parameters: int | None
    decoder_parameters: int | None
    supported: bool
    reason: str | None

    @property
    def neurons(self) -> int | None:
        """Gates of the whole decoder: what a fraction r is taken of."""
        return self.layers * self.width if self.layers and self.width else None

    def memory(self, dtype: str) -> float | None:
        """GB of weights in `dtype`."""
        size = {"float32": 4, "bfloat16": 2, "float16": 2}[dtype]
        return None if self.parameters is None else self.parameters * size / 1e9


def inspect_config(raw: dict[str, Any], where: str, sparse: bool = False) -> ModelStructure:
    """The structure of the model whose `config.json` says `raw`.

    Args:
        sparse: whether gates that a top-k sets to zero are asked for.

    Raises:
        UserError: transformers has no such class; running code from the checkpoint is out of the question.
    """
    if raw.get("architectures") == [KIMI]:
        return _inspect_kimi(raw)
    cls = model_class(raw, where)
    if "audio" not in cls.input_modalities:
        return _refused(cls.__name__, "the model takes no audio")
    try:
        with _silent():
            config = config_of(cls, raw)
            if reason := unsupported(config.get_text_config(), sparse):
                return _refused(cls.__name__, reason)
            model = _meta(cls, config)
    except (ImportError, ValueError, TypeError, AttributeError, KeyError) as error:
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        return _refused(cls.__name__, f"the model cannot be built: {first.strip()}")
    return _structure(cls.__name__, model, _text_decoder(model), sparse)


def unsupported(text: Any, sparse: bool = False) -> str | None:
    """Why a decoder with the configuration `text` cannot be studied, where its configuration says so: every reason."""
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


def model_class(raw: dict[str, Any], where: str) -> Any:
    """transformers' class for a configuration; of a model with a speech branch the part that writes text."""
    names = [PARTS.get(str(raw.get("model_type"))), *(raw.get("architectures") or ())]
    for name in names:
        if name and (cls := getattr(transformers, name, None)) is not None and hasattr(cls, "config_class"):
            return cls
    raise UserError(
        f"transformers {transformers.__version__} has no class {raw.get('architectures')} of type "
        f"{raw.get('model_type')!r}, and code that comes with weights is never run",
        where=where,
    )


def config_of(cls: Any, raw: dict[str, Any]) -> Any:
    """The configuration object of `cls`: the whole file, or the part that it describes."""
    part = raw.get("thinker_config", raw)
    return cls.config_class.from_dict({k: v for k, v in part.items() if k != "quantization_config"})


def default_config(model_type: str) -> dict[str, Any]:
    """What `config.json` of a model of this type says where it differs in nothing from transformers' defaults."""
    if model_type not in CONFIG_MAPPING:
        hint = did_you_mean(model_type, CONFIG_MAPPING)
        raise UserError(f"{model_type!r} is no registered model, folder, hub id or model type.{hint}")
    with _silent():
        config = CONFIG_MAPPING[model_type]()
        prefix = type(config).__name__.removesuffix("Config").rstrip("_")
        architectures = [n for n in dir(transformers) if n.startswith(prefix) and _generates(n, type(config))]
    architectures.sort(key=lambda name: not name.endswith("ForConditionalGeneration"))
    return {**config.to_dict(), "architectures": architectures[:1], "model_type": model_type}


def _generates(name: str, config: type) -> bool:
    with contextlib.suppress(Exception):  # classes whose optional packages are missing raise on any look at them
        cls = getattr(transformers, name)
        return cls.config_class is config and issubclass(cls, GenerationMixin)
    return False


def _inspect_kimi(raw: dict[str, Any]) -> ModelStructure:
    """Kimi-Audio's text path; its Whisper encoder and speech tokenizer have sizes of their own files."""
    from esn_dist.models.kimi_audio.config import COPIED

    text = transformers.Qwen2Config(**{name: raw[name] for name in COPIED if name in raw})
    decoder = _meta(Qwen2Model, text)
    hidden, adaptor = text.hidden_size, int(raw["kimia_adaptor_input_dim"])
    whole = nn.ModuleList([decoder])
    with torch.device("meta"):
        whole.append(nn.Linear(hidden, text.vocab_size, bias=False))
        whole.extend([nn.Linear(adaptor, hidden), nn.Linear(hidden, hidden), nn.LayerNorm(hidden)])
    return _structure(KIMI, whole, decoder)


def _structure(name: str, model: nn.Module, decoder: nn.Module, sparse: bool = False) -> ModelStructure:
    try:
        gates = find_gates(decoder, sparse)
    except NoGates as error:
        return _refused(name, str(error), _count(model), _count(decoder))
    first = gates[0]
    return ModelStructure(
        name, len(gates), first.width, first.experts, type(first.activation).__name__, _form(first, decoder),
        _count(model), _count(decoder), True, None,
    )  # fmt: skip


def _text_decoder(model: Any) -> nn.Module:
    """The module that holds the text layers; some models name the whole around it their decoder."""
    decoder: nn.Module = model.get_decoder()
    with_layers = [m for m in decoder.modules() if isinstance(getattr(m, "layers", None), nn.ModuleList)]
    return with_layers[0] if with_layers else decoder


def _form(gate: Gate, decoder: nn.Module) -> str:
    if gate.experts:
        return "experts"
    fused = any(name.endswith("gate_up_proj.weight") for name, _ in decoder.named_parameters())
    return "fused" if fused else "separate"


def _refused(name: str, reason: str, parameters: int | None = None, decoder: int | None = None) -> ModelStructure:
    return ModelStructure(name, None, None, None, None, None, parameters, decoder, False, reason)


def _count(module: nn.Module) -> int:
    return sum(p.numel() for name, p in module.named_parameters() if not any(part in name for part in UNUSED))


def _meta(cls: Any, config: Any) -> Any:
    with torch.device("meta"):
        return cls(config)


@contextlib.contextmanager
def _silent() -> Any:
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
