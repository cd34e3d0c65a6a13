"""Loads a model class of transformers: placed by an explicit map, whole or not at all, without noise and without code.

Safetensors only, `trust_remote_code` never. What a user can mend is told in one sentence before weights are read.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer
from transformers.utils import logging

from esn_dist.errors import UserError
from esn_dist.models.checkpoint import read_config, stored_tensors
from esn_dist.models.placement import Placement


def load_transformers(
    cls: Any, source: Path, dtype: torch.dtype, placement: Placement, unneeded: Sequence[str] = ()
) -> Any:
    """`cls` from the folder `source`, in evaluation mode.

    Args:
        unneeded: prefixes of weights that may be missing.

    Raises:
        UserError: another architecture, weights missing or cut off, or too little memory.
    """
    refuse_other_architecture(read_config(source), accepted_types(cls), source)
    stored_tensors(source)
    with quiet():
        config = cls.config_class.from_pretrained(source)
        device_map = placement.device_map(skeleton(cls, config), dtype)
        offloaded = tempfile.mkdtemp(prefix="esn-dist-") if "disk" in device_map.values() else None
        loaded: Any = cls.from_pretrained(
            source, config=config, dtype=dtype, device_map=device_map, use_safetensors=True, trust_remote_code=False,
            output_loading_info=True, offload_folder=offloaded, ignore_mismatched_sizes=True,
        )  # fmt: skip
    model, report = loaded
    refuse_missing(report, source, unneeded)
    if offloaded:
        weakref.finalize(model, shutil.rmtree, offloaded, ignore_errors=True)
    return model.eval()


def refuse_missing(report: Mapping[str, Any], source: Path, unneeded: Sequence[str]) -> None:
    """Refuse a checkpoint of which transformers found less than the model has; it would fill the rest with noise."""
    missing = sorted(key for key in report["missing_keys"] if not key.startswith(tuple(unneeded)))
    if missing:
        raise UserError(
            f"{len(missing)} weights are missing from the checkpoint: {', '.join(missing[:3])}"
            f"{' ...' if len(missing) > 3 else ''}",
            where=str(source), fix="give the folder of the whole model, as published",
        )  # fmt: skip
    for name, stored, wanted in sorted(report["mismatched_keys"]):
        raise UserError(
            f"{name} has shape {tuple(stored)}", where=str(source), expected=f"{tuple(wanted)}, by its config.json"
        )


def skeleton(cls: Any, config: Any) -> Any:
    """The model without weights, on the meta device."""
    with torch.device("meta"):
        return cls(config)


def accepted_types(cls: Any) -> tuple[str, ...]:
    """Model types whose checkpoints `cls` loads: its own, and that of a whole of which it is a part."""
    own = str(cls.config_class.model_type)
    return (own, own.removesuffix("_thinker"))


def refuse_other_architecture(config: dict[str, Any], accepted: Sequence[str], source: Path) -> None:
    """Refuse a folder of another model: transformers would only warn, and fill what does not match with noise."""
    if config.get("model_type") not in accepted:
        raise UserError(
            f"the folder holds a model of type {config.get('model_type')!r}", where=str(source),
            expected=" or ".join(map(repr, dict.fromkeys(accepted))), fix="esn-dist doctor FOLDER shows what it is",
        )  # fmt: skip


def load_tokenizer(source: Path) -> Any:
    """The checkpoint's own tokenizer with its chat template."""
    tokenizer: Any = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    if not tokenizer.chat_template:
        raise UserError(
            "the tokenizer has no chat template", where=str(source),
            expected="chat_template.jinja, or the key chat_template in tokenizer_config.json",
        )  # fmt: skip
    return tokenizer


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' progress bar and its report of the weights that are meant to be absent."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # A map may place a parameter that is no module's only content (Phi-4-multimodal has two): nothing is amiss.
            warnings.filterwarnings("ignore", message="The following device_map keys do not match any submodules")
            yield
    finally:
        logging.enable_progress_bar()
        logging.set_verbosity(before)
