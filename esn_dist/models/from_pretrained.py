"""Loads a model class of transformers: placed by an explicit map, whole or not at all, without progress bars.

Safetensors only, `trust_remote_code` never. Errors that a user can fix are raised before weights are read.
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
from esn_dist.models.checkpoint import StoredWeights, read_config, stored_tensors
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


def find_transformers_weights(cls: Any, source: Path, unneeded: Sequence[str] = ()) -> StoredWeights:
    """Let transformers match the checkpoint's names and shapes to those of `cls`, without reading a weight.

    Raises:
        UserError: a weight is missing, or a shape differs.
    """
    stored = stored_tensors(source)
    with quiet():
        _, report = cls.from_pretrained(
            source, device_map={"": "meta"}, use_safetensors=True, trust_remote_code=False, output_loading_info=True,
            ignore_mismatched_sizes=True,
        )  # fmt: skip
    refuse_missing(report, source, unneeded)
    return StoredWeights.of(stored.values())


def refuse_missing(report: Mapping[str, Any], source: Path, unneeded: Sequence[str]) -> None:
    """Refuse a checkpoint with missing weights, which transformers would fill with random numbers."""
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
    """Model types whose checkpoints `cls` loads: its own, and that of the whole model around a thinker."""
    model_type = str(cls.config_class.model_type)
    return (model_type, model_type.removesuffix("_thinker"))


def refuse_other_architecture(config: dict[str, Any], accepted: Sequence[str], source: Path) -> None:
    """Refuse a folder of another model: transformers would only warn, and draw at random what does not match."""
    if config.get("model_type") not in accepted:
        raise UserError(
            f"the folder holds a model of type {config.get('model_type')!r}", where=str(source),
            expected=" or ".join(map(repr, dict.fromkeys(accepted))), fix="see esn-dist doctor FOLDER",
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
    """Without transformers' progress bar and its report of absent weights."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # A map may place a single parameter of a module (Phi-4-multimodal has two such), which is correct.
            warnings.filterwarnings("ignore", message="The following device_map keys do not match any submodules")
            yield
    finally:
        logging.enable_progress_bar()
        logging.set_verbosity(before)
