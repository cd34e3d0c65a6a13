"""Finding things in folders as people have them: moved, renamed, nested once more, with a Mac's leavings in between.

Names that begin with a dot are never seen: AppleDouble files (`._x.wav`) end like audio and hold none. Opens no file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from esn_dist.errors import UserError


def folders_below(root: Path, depth: int, skip: Callable[[str], bool] = lambda name: False) -> Iterator[Path]:
    """`root` and the visible folders at most `depth` below it, the nearest first, then by name; each real one once.

    Symlinks are followed: a link back up is a folder that was seen before.

    Args:
        skip: true for the name of a folder that is passed over with all that is in it.

    Raises:
        UserError: `root` is no folder.
    """
    if not root.is_dir():
        raise UserError("no such folder", where=str(root), fix="correct the corpus's `path`")
    seen: set[str] = set()
    level = [root]
    for left in range(depth, -1, -1):
        new = {real: folder for folder in reversed(level) if (real := os.path.realpath(folder)) not in seen}
        seen.update(new)
        level = [folder for folder in level if folder in new.values()]
        yield from level
        level = [sub for folder in level for sub in _subfolders(folder) if not skip(sub.name)] if left else []


def files_in(folder: Path) -> frozenset[str]:
    """Names of the visible files in `folder` itself: one look, where asking for each of 10⁵ names takes minutes."""
    with os.scandir(folder) as entries:
        return frozenset(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_file())


def undoubled(folder: Path) -> Path:
    """`folder/NAME/NAME` for `folder/NAME` where unpacking by hand has put one into the other."""
    inner = folder / folder.name
    return inner if inner.is_dir() else folder


def shown(names: Iterable[str], most: int = 5) -> str:
    """`a, b, c and 7 more`."""
    ordered = sorted(names)
    more = f" and {len(ordered) - most:,} more" if len(ordered) > most else ""
    return ", ".join(ordered[:most]) + more


def _subfolders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    return [folder / name for name in sorted(names)]
