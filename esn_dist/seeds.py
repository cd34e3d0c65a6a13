"""Every random choice as a pure function of its meaning: a hash of (seed, corpus, utterance, ...), never time or order.

Knows nothing of what is being drawn. Two workers, two machines and two Python versions draw the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
SeedKey = str | int | float | None

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(*parts: object) -> str:
    """SHA-256 (64 hex digits) of the canonical JSON of `parts` (sorted keys, no blanks, UTF-8)."""
    return hashlib.sha256(_CANONICAL.encode(parts).encode()).hexdigest()


def shuffled(items: Iterable[Item], *seed: SeedKey, key: Callable[[Item], str] = str) -> list[Item]:
    """`items` sorted by the hash of (seed, key(item)): adding or losing one item never reorders the others."""
    return sorted(items, key=lambda item: (digest(*seed, key(item)), key(item)))


def generator(*parts: SeedKey) -> np.random.Generator:
    """A NumPy generator (PCG64) seeded by the hash of `parts`."""
    return np.random.Generator(np.random.PCG64(int(digest(*parts), 16)))
