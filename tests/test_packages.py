"""The house stands: imports point downward only, and light rooms carry nothing heavy."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import esn_dist

HOUSE = Path(esn_dist.__file__).parent
# From the ground up: a package imports only packages before it.
ORDER = [
    "errors",
    "seeds",
    "terms",
    "registry",
    "store",
    "sweep",
    "corpora",
    "task",
    "selection",
    "analysis",
    "transfer",
    "gates",
    "models",
    "inference",
    "worker",
    "backends",
    "runner",
    "report",
    "api",
    "cli",
    "__main__",
]
FLOOR = {package: floor for floor, package in enumerate(ORDER)}
LIGHT = {
    "errors",
    "seeds",
    "terms",
    "registry",
    "store",
    "sweep",
    "corpora",
    "task",
    "selection",
    "analysis",
    "report",
    "api",
}
HEAVY = {"torch", "ray", "transformers", "accelerate", "safetensors", "tokenizers", "huggingface_hub", "parselmouth"}


def imports(node: ast.AST, *, inside_functions: bool) -> Iterator[str]:
    """Dotted names that `node` imports; `from a import b` as "a.b"."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "relative imports hide the room"
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif inside_functions or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from imports(child, inside_functions=inside_functions)


def modules() -> Iterator[tuple[Path, str, ast.Module]]:
    """Every module below the house's door, with its room."""
    for path in sorted(HOUSE.rglob("*.py")):
        inside = path.relative_to(HOUSE)
        if inside != Path("__init__.py"):
            yield inside, inside.parts[0].removesuffix(".py"), ast.parse(path.read_text(encoding="utf-8"))


def test_every_room_is_on_the_map() -> None:
    assert {room for _, room, _ in modules()} <= FLOOR.keys()


def test_imports_point_downward_only() -> None:
    upward = [
        f"{path} imports {name}"
        for path, room, tree in modules()
        for name in imports(tree, inside_functions=True)
        if name.startswith("esn_dist.")
        and (other := name.split(".")[1]) != room
        and (FLOOR[other] >= FLOOR[room] or (room in LIGHT and other not in LIGHT))
    ]
    assert not upward


def test_light_rooms_carry_nothing_heavy() -> None:
    heavy = [
        f"{path} imports {name}"
        for path, room, tree in modules()
        if room in LIGHT
        for name in imports(tree, inside_functions=False)
        if name.split(".")[0] in HEAVY
    ]
    assert not heavy
