"""Masks as one small JSON file that can be shared, cited and read back: neurons by layer, and whose each mask is.

Knows no selectors. A file names the model and its weights' fingerprint, so that a mask is not put on another model.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from esn_dist.errors import UserError

MASK_FILE_VERSION = 1
TEXTS = ("selector", "source_corpus", "source_emotion", "parts")
NUMBERS = ("fraction", "mask_seed", "identification_size", "budget", "identified")


def write_mask_file(path: Path, masks: xr.Dataset, facts: dict[str, Any]) -> None:
    """Write all of `masks` (as `open_masks` gives them).

    Args:
        path: replaced where it exists.
        masks: member[mask, layer, neuron] and the coordinates of a mask.
        facts: the model's attributes (`layers`, `width`, `weights`, `model`).
    """
    head = {
        "esn_dist_masks": MASK_FILE_VERSION,
        "model": masks.attrs["model"],
        "registered": facts.get("model"),
        "weights": facts.get("weights"),
        "layers": facts["layers"],
        "width": facts["width"],
    }
    lines = [json.dumps(_entry(masks.isel(mask=row)), ensure_ascii=False) for row in range(masks.sizes["mask"])]
    body = ",\n  ".join(lines)
    text = json.dumps(head, ensure_ascii=False, indent=1)[:-2] + ',\n "masks": [\n  ' + body + "\n ]\n}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def read_mask_file(path: Path) -> xr.Dataset:
    """The masks of a file in the form of `open_masks`: member, size, identified, budget, all in memory.

    Raises:
        UserError: no such file, no mask file, a newer version, or a neuron that the model does not have.
    """
    content = _content(path)
    shape = (int(content["layers"]), int(content["width"]))
    entries = content["masks"]
    member = np.array([_member(path, entry, shape) for entry in entries], np.bool_).reshape(len(entries), *shape)
    columns = {name: ("mask", [str(entry[name]) for entry in entries]) for name in TEXTS}
    columns |= {name: ("mask", [entry[name] for entry in entries]) for name in NUMBERS}
    variables = {name: columns.pop(name) for name in ("budget", "identified")}
    return xr.Dataset(
        {"member": (("mask", "layer", "neuron"), member), "size": ("mask", member.sum(axis=(1, 2))), **variables},
        coords={"mask": [str(entry["id"]) for entry in entries], **columns},
        attrs={name: content.get(name) for name in ("model", "registered", "weights")},
    )


def _entry(mask: xr.Dataset) -> dict[str, Any]:
    layers, neurons = np.nonzero(mask["member"].values)
    by_layer = {str(layer): neurons[layers == layer].tolist() for layer in np.unique(layers)}
    texts = {name: str(mask[name].values) for name in TEXTS}
    numbers = {name: mask[name].values.item() for name in NUMBERS}
    return {"id": str(mask["mask"].values), **texts, **numbers, "neurons": by_layer}


def _member(path: Path, entry: dict[str, Any], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    member = np.zeros(shape, np.bool_)
    for layer, neurons in entry["neurons"].items():
        places = np.array(neurons, np.int64)
        if not 0 <= int(layer) < shape[0] or places.min(initial=0) < 0 or places.max(initial=0) >= shape[1]:
            raise UserError(
                f"mask {entry['id']!r} names a neuron of layer {layer} that the model does not have",
                where=str(path),
                expected=f"{shape[0]} layers of {shape[1]} neurons, counted from 0",
            )
        member[int(layer), places] = True
    return member


def _content(path: Path) -> dict[str, Any]:
    expected = "a file that `esn-dist masks export` wrote"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"the mask file cannot be read: {error.strerror}", where=str(path)) from None
    except ValueError as error:
        raise UserError(f"this is no JSON: {error}", where=str(path), expected=expected) from None
    version = content.get("esn_dist_masks") if isinstance(content, dict) else None
    if version is None:
        raise UserError("this is no mask file", where=str(path), expected=expected)
    if version > MASK_FILE_VERSION:
        raise UserError(f"this mask file has version {version}", where=str(path), fix="pip install --upgrade esn-dist")
    return dict(content)
