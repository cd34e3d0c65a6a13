"""Find and test emotion-sensitive neurons in audio-language models, on one machine or a cluster."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from esn_dist.api import OpenSweep

__all__ = ["open"]

# The standard way of a library: silent until the program that uses it configures logging.
logging.getLogger(__name__).addHandler(logging.NullHandler())


def open(path: str | Path) -> OpenSweep:
    """The sweep in a folder such as `store/quickstart` as xarray objects; see `esn_dist.api`."""
    from esn_dist.api import open_sweep  # here, so that `import esn_dist` stays light

    return open_sweep(path)
