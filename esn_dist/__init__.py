"""Find and test emotion-sensitive neurons in audio-language models, on one machine or a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from esn_dist.api import OpenSweep

__all__ = ["open"]


def open(path: str | Path) -> OpenSweep:
    """The sweep in a folder such as `store/quickstart` as xarray objects; see `esn_dist.api`."""
    from esn_dist.api import open_sweep  # here, so that `import esn_dist` stays light

    return open_sweep(path)
