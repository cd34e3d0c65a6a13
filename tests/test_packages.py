"""Packages import only packages below them, and light packages import neither torch nor Ray."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import esn_dist

ROOT = Path(esn_dist.__file__).parent
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
    "runner",
    "backends",
    "report",
    "api",
    "cli",
    "testing",
    "__main__",
]
LEVEL = {package: level for level, package in enumerate(ORDER)}
LIGHT = {*ORDER[: ORDER.index("transfer")], "report", "api"}
HEAVY = {"torch", "ray", "transformers", "accelerate", "safetensors", "tokenizers", "huggingface_hub", "parselmouth"}


def imports(node: ast.AST, *, inside_functions: bool) -> Iterator[str]:
    """Dotted names that `node` imports; `from a import b` as "a.b"."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "relative imports hide the package"
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif inside_functions or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from imports(child, inside_functions=inside_functions)


def modules() -> Iterator[tuple[Path, str, ast.Module]]:
    """Every module of the project: its path, its package and its syntax tree."""
    for path in sorted(ROOT.rglob("*.py")):
        inside = path.relative_to(ROOT)
        if inside != Path("__init__.py"):
            yield inside, inside.parts[0].removesuffix(".py"), ast.parse(path.read_text(encoding="utf-8"))


def test_every_package_has_a_place_in_the_order() -> None:
    assert {package for _, package, _ in modules()} <= LEVEL.keys()


def test_imports_point_downward_only() -> None:
    upward = [
        f"{path} imports {name}"
        for path, package, tree in modules()
        for name in imports(tree, inside_functions=True)
        if name.startswith("esn_dist.")
        and (other := name.split(".")[1]) != package
        and (LEVEL[other] >= LEVEL[package] or (package in LIGHT and other not in LIGHT))
    ]
    assert not upward


def test_light_packages_import_nothing_heavy() -> None:
    heavy = [
        f"{path} imports {name}"
        for path, package, tree in modules()
        if package in LIGHT
        for name in imports(tree, inside_functions=False)
        if name.split(".")[0] in HEAVY
    ]
    assert not heavy


def test_only_backends_imports_ray() -> None:
    """Runner and worker see a cluster through the protocols of `worker.protocol`."""
    importers = {
        package
        for _, package, tree in modules()
        for name in imports(tree, inside_functions=True)
        if name.split(".")[0] == "ray"
    }
    assert importers == {"backends"}


KERNELS_AND_REFERENCES = {"apply_rope_and_write_kv", "rms_norm", "silu_and_mul"}
IN_EVERY_SUCH_MODULE = {"logger", "main"}


def public_names(tree: ast.Module) -> Iterator[str]:
    """Classes, functions and constants that a module defines for others."""
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.append(node.name)
        yield from (name for name in names if not name.startswith("_"))


def test_a_public_name_is_defined_in_one_module_only() -> None:
    definitions: dict[str, set[str]] = {}
    for path, _, tree in modules():
        for name in public_names(tree):
            definitions.setdefault(name, set()).add(path.as_posix())
    allowed = KERNELS_AND_REFERENCES | IN_EVERY_SUCH_MODULE
    assert {name: paths for name, paths in definitions.items() if len(paths) > 1 and name not in allowed} == {}
