"""Searches folders as people have them: moved, renamed, nested one level deeper, with macOS metadata files in between.

Names that begin with a dot are skipped: AppleDouble files (`._x.wav`) look like audio and contain none. Opens no file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from esn_dist.errors import UserError


def folders_below(root: Path, depth: int, skip: Callable[[str], bool] = lambda name: False) -> Iterator[Path]:
    """`root` and the visible folders at most `depth` below it, the nearest first, then by name.

    Symlinks are followed. Each real folder comes once, so a link to a parent ends the search there.

    Args:
        skip: whether a folder of this name is left out, with all that is in it.

    Raises:
        UserError: `root` is not a folder.
    """
    if not root.is_dir():
        raise UserError("no such folder", where=str(root), fix="correct the corpus's `path`")
    seen: set[str] = set()
    level = [root]
    for remaining in range(depth, -1, -1):
        new = {real: folder for folder in reversed(level) if (real := os.path.realpath(folder)) not in seen}
        seen.update(new)
        level = [folder for folder in level if folder in new.values()]
        yield from level
        level = [sub for folder in level for sub in _subfolders(folder) if not skip(sub.name)] if remaining else []


def files_in(folder: Path) -> frozenset[str]:
    """Names of the visible files in `folder` itself: one scan, because a lookup for each of 10⁵ names takes minutes."""
    with os.scandir(folder) as entries:
        return frozenset(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_file())


def innermost(folder: Path) -> Path:
    """`folder/NAME/NAME` for `folder/NAME` where unpacking by hand has nested one in the other."""
    nested = folder / folder.name
    return nested if nested.is_dir() else folder


def abbreviated(names: Iterable[str], limit: int = 5) -> str:
    """`a, b, c and 7 more`."""
    ordered = sorted(names)
    more = f" and {len(ordered) - limit:,} more" if len(ordered) > limit else ""
    return ", ".join(ordered[:limit]) + more


def _subfolders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    return [folder / name for name in sorted(names)]
