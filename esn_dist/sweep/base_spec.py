"""What every part of a spec is made of: fields classified as identity or runtime, names, an error with its place.

Knows none of the parts. *Identity* fields change what a number in the store means; *runtime* fields do not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def identity(default: Any = ..., **options: Any) -> Any:
    """A field that enters the hash of what a result means."""
    return Field(default, json_schema_extra={"class": "identity"}, **options)


def runtime(default: Any = ..., **options: Any) -> Any:
    """A field that may change between two runs of one store without changing a single number."""
    return Field(default, json_schema_extra={"class": "runtime"}, **options)


def _name(value: str) -> str:
    if not value or not all(c.isalnum() or c in "._-" for c in value) or value.startswith("."):
        raise ValueError(f"{value!r} is not a name; use letters, digits, '.', '_' and '-'")
    return value


Name = Annotated[str, AfterValidator(_name)]


class Spec(BaseModel):
    """Base of all parts of a sweep: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class InvalidName(ValueError):
    """A name that is not allowed where it is. The loader adds the line and the nearest allowed name.

    Args:
        problem: what is wrong, one sentence without a full stop.
        name: the invalid name.
        allowed: names that would be valid.
        path: where the name is, below the validated object.
    """

    def __init__(self, problem: str, name: str, allowed: Iterable[str] = (), path: tuple[str | int, ...] = ()) -> None:
        super().__init__(problem)
        self.name, self.allowed, self.path = name, list(allowed), path
