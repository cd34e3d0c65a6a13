"""Masks of a store, as the arrays that tests compare."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from esn_dist.store.folder import StoreFolder
from esn_dist.store.read_tables import read_masks, read_members


def read_member(folder: StoreFolder, model: str, mask: str) -> npt.NDArray[np.bool_]:
    """member[layer, neuron] of one mask."""
    return read_members(folder, model, read_masks(folder, model), [mask])[mask]
