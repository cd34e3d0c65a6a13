"""The settings that every corpus has, as pydantic models: labels studied, sets drawn, limits of a clip.

Every default is the paper's or the protocol's. Knows no type of corpus: each is declared next to its loader.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import model_validator

from esn_dist.sweep.base_spec import InvalidName, Name, Spec, identity
from esn_dist.terms import PartName

SHARED_EMOTIONS = ("anger", "joy", "neutral", "sadness")
"""Emotions of all three of the paper's corpora; IEMOCAP adds frustration, the other two surprise."""


class Limits(Spec):
    """Limits of a valid clip; a clip that violates one is excluded, with the reason."""

    shortest: float = identity(0.1, ge=0, description="seconds; a clip that lasts less is too short")
    longest: float = identity(60.0, gt=0, description="seconds; a clip that lasts more is too long")
    quietest: float = identity(-80.0, description="dBFS; a clip whose highest peak is lower is silent")
    length_slack: float = identity(0.1, ge=0, description="seconds between the declared and the decoded length")


class EvaluationSpec(Spec):
    """The held-out, class-balanced set that every cell answers."""

    per_emotion: int = identity(200, ge=1, description="utterances of each emotion")
    splits: tuple[str, ...] | None = identity(None, description="splits to draw from; default: all")


class IdentificationSpec(Spec):
    """The pool in which correctly answered utterances are searched."""

    candidates: int | None = identity(None, ge=1, description="utterances per emotion at most; default: all the rest")
    cap: int = identity(500, ge=1, description="stop at so many correct ones per emotion (Table 4)")
    size: int | Literal["auto"] = identity("auto", description="correct ones used per emotion; auto: what all have")
    splits: tuple[str, ...] | None = identity(None, description="splits to draw from; default: all")
    speaker_disjoint: bool = identity(False, description="leave out speakers of the evaluation set")
    parts: tuple[PartName, ...] = identity(
        ("audio", "text", "generated"), description="positions whose counts are summed"
    )


class CorpusSpec(Spec):
    """Base of the settings of every type of corpus. A subclass adds `type: Literal[NAME]` and its own fields.

    Attributes:
        defaults: the type's own defaults inside `evaluation` and `identification`.
    """

    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    if TYPE_CHECKING:
        type: str

    name: Name = identity(description="its name in store and tables")
    emotions: tuple[Name, ...] = identity(min_length=2, max_length=9, description="labels studied; others are excluded")
    words: dict[Name, str] = identity(
        {}, description="emotion → option word shown to the model, e.g. {joy: happiness}; default: the emotion itself"
    )
    limits: Limits = identity(Limits(), description="limits of a valid clip")
    evaluation: EvaluationSpec = identity(EvaluationSpec())
    identification: IdentificationSpec = identity(IdentificationSpec())

    @property
    def options(self) -> tuple[str, ...]:
        """The option words shown to the model, in the order of `emotions`."""
        return tuple(self.words.get(emotion, emotion) for emotion in self.emotions)

    @property
    def merged_labels(self) -> Mapping[str, str]:
        """The corpus's label → the emotion it counts as, where these differ."""
        return {}

    @property
    def paths(self) -> tuple[Path, ...]:
        """Where the corpus is: the values of all fields that are paths."""
        return tuple(getattr(self, name) for name in self._path_fields())

    def relative_to_folder(self, folder: Path) -> CorpusSpec:
        """This spec with its paths made absolute; relative ones start at `folder`."""
        placed = {name: _absolute(folder / getattr(self, name).expanduser()) for name in self._path_fields()}
        return self.model_copy(update=placed)

    def _path_fields(self) -> list[str]:
        return [name for name in type(self).model_fields if isinstance(getattr(self, name), Path)]

    @model_validator(mode="before")
    @classmethod
    def _fill_defaults(cls, data: Any) -> Any:
        # Key by key: `evaluation: {per_emotion: 100}` must not lose the type's own default splits.
        if not isinstance(data, dict):
            return data
        given = {part: data.get(part, {}) for part in cls.defaults}
        filled = {part: {**cls.defaults[part], **keys} for part, keys in given.items() if isinstance(keys, dict)}
        return {**data, **filled}

    @model_validator(mode="after")
    def _distinct_options(self) -> CorpusSpec:
        for index, emotion in enumerate(self.emotions):
            if emotion in self.emotions[:index]:
                raise InvalidName(f"the emotion {emotion!r} is listed twice", emotion, path=("emotions", index))
        for emotion in self.words:
            if emotion not in self.emotions:
                raise InvalidName(f"no emotion {emotion!r} is studied", emotion, self.emotions, ("words", emotion))
        shown = [" ".join(word.casefold().split()) for word in self.options]
        if "" in shown or len(set(shown)) < len(shown):
            raise ValueError(f"the option words {', '.join(map(repr, self.options))} cannot be told apart")
        return self


def _absolute(path: Path) -> Path:
    """Absolute, but a link as last part stays a link: a manifest's clips are next to the link, not to its target."""
    return path.parent.resolve() / path.name
