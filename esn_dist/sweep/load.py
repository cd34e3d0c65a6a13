"""Reads a sweep's YAML. Every mistake is reported with file, line, allowed values and the nearest match.

Knows the form of the file by the pydantic models alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from esn_dist.errors import UserError, did_you_mean
from esn_dist.sweep.base_spec import InvalidName
from esn_dist.sweep.corpus_types import CORPUS_TYPES
from esn_dist.sweep.mask_files import resolve_mask_file
from esn_dist.sweep.spec import Sweep
from esn_dist.sweep.study_spec import StudySpec

Loc = tuple[str | int, ...]


def load_sweep(path: Path) -> Sweep:
    """The sweep in `path`; paths inside it are relative to that file.

    Raises:
        UserError: the file cannot be read, is not YAML, or is no valid sweep (all mistakes at once).
    """
    text = _read(path)
    try:
        root = yaml.compose(text, yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UserError(f"not YAML: {getattr(error, 'problem', error)}", where=where) from None
    if root is None or not isinstance(data, dict):
        raise UserError("the file holds no sweep", where=str(path), expected="name, seed, models, corpora, studies")
    _refuse_duplicate_keys(root, path)
    try:
        return _with_absolute_paths(Sweep.model_validate(data), path.parent)
    except ValidationError as error:
        raise _combined([_explain(e, data, root, path) for e in _causes(error)]) from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = [p.name for p in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
        hint = did_you_mean(path.name, near)
        raise UserError(f"no such file.{hint}", where=str(path), fix="give the path of a sweep's YAML") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot be read: {error}", where=str(path)) from None


def _with_absolute_paths(sweep: Sweep, folder: Path) -> Sweep:
    """Paths made absolute, so that nothing later depends on the working directory."""
    store = (folder / (sweep.store or Path("..", "store", sweep.name))).resolve()
    cache = (folder / sweep.cache).resolve() if sweep.cache else store / "cache"
    corpora = [corpus.relative_to_folder(folder) for corpus in sweep.corpora]
    models = [
        m.model_copy(update={"source": str((folder / m.source).resolve())})
        if m.source and (folder / m.source).exists()
        else m
        for m in sweep.models
    ]
    studies = {title: _with_mask_files(study, sweep, folder) for title, study in sweep.studies.items()}
    absolute = {"store": store, "cache": cache, "corpora": tuple(corpora), "models": tuple(models), "studies": studies}
    return sweep.model_copy(update=absolute)


def _with_mask_files(study: StudySpec, sweep: Sweep, folder: Path) -> StudySpec:
    """`study` with its mask files read, since their masks are part of the plan."""
    models = [model.model for model in sweep.models if study.models is None or model.name in study.models]
    read = tuple(resolve_mask_file(file, folder, models) for file in study.mask_files)
    return study.model_copy(update={"mask_files": read}) if read else study


def _causes(error: ValidationError) -> list[Any]:
    """The errors without those that follow from another: a list without its invalid item is "too short"."""
    errors = error.errors(include_url=False)
    return [
        e for e in errors if not any(o["loc"] != e["loc"] and o["loc"][: len(e["loc"])] == e["loc"] for o in errors)
    ]


def _explain(error: Any, data: dict[str, Any], root: yaml.Node, path: Path) -> UserError:
    """One pydantic error as a `UserError`."""
    loc: Loc = tuple(error["loc"])
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, InvalidName):
        hint = did_you_mean(cause.name, cause.allowed)
        expected = ", ".join(cause.allowed) or None
        return UserError(f"{cause}.{hint}", where=_where((*loc, *cause.path), root, path), expected=expected)
    where = _where(loc, root, path)
    name = _dotted(loc)
    if error["type"] == "extra_forbidden":
        fields = _fields_at(loc[:-1], data)
        return UserError(
            f"unknown key {name}.{did_you_mean(str(loc[-1]), fields)}", where=where, expected=", ".join(fields)
        )
    if error["type"] == "missing":
        return UserError(f"{name} is missing", where=where)
    if error["type"] in ("enum", "literal_error"):
        allowed = [word.strip(" '") for word in error["ctx"]["expected"].replace(" or ", ",").split(",")]
        given = str(error["input"])
        return UserError(
            f"{name} is {given!r}.{did_you_mean(given, allowed)}", where=where, expected=", ".join(allowed)
        )
    return UserError(f"{name}: {error['msg'].removeprefix('Value error, ')}", where=where)


def _combined(errors: Sequence[UserError]) -> UserError:
    if len(errors) == 1:
        return errors[0]
    return UserError(f"{len(errors)} mistakes:\n" + "\n".join(str(e) for e in errors))


def _dotted(loc: Loc) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in loc).lstrip(".") or "the sweep"


def _where(loc: Loc, root: yaml.Node, path: Path) -> str:
    """`file:line` of the deepest node on the path `loc` that the file contains."""
    node, line = root, root.start_mark.line
    for part in loc:
        child = dict(_children(node)).get(part)
        if child is None:
            continue  # the key is missing: the line of the surrounding node
        key, node = child
        line = key.start_mark.line
    return f"{path}:{line + 1}"


def _children(node: yaml.Node) -> Iterator[tuple[str | int, tuple[yaml.Node, yaml.Node]]]:
    if isinstance(node, yaml.MappingNode):
        yield from ((key.value, (key, value)) for key, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        yield from ((index, (value, value)) for index, value in enumerate(node.value))


def _refuse_duplicate_keys(node: yaml.Node, path: Path) -> None:
    seen: set[str | int] = set()
    for name, (key, value) in _children(node):
        if name in seen:
            raise UserError(
                f"the key {name!r} is given twice", where=f"{path}:{key.start_mark.line + 1}", fix="remove one"
            )
        seen.add(name)
        _refuse_duplicate_keys(value, path)


def _fields_at(loc: Loc, data: dict[str, Any]) -> list[str]:
    """The keys allowed at `loc`, by the annotations of the models on the way there."""
    models: list[type[BaseModel]] = [Sweep]
    if loc[:1] == ("corpora",):  # the annotation knows only the base of all corpus types
        models, loc = [CORPUS_TYPES[data["corpora"][loc[1]]["type"]].spec], loc[2:]
    for part in loc:
        if isinstance(part, int) or not any(part in m.model_fields for m in models):
            continue
        models = [n for m in models if part in m.model_fields for n in _models_in(m.model_fields[part].annotation)]
    return sorted({name for m in models for name in m.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for argument in getattr(annotation, "__args__", ()) for m in _models_in(argument)]
