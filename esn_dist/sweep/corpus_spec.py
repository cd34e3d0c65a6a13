"""The corpora of a sweep as pydantic models: where each lies, which labels are studied, and how its sets are drawn.

Every default is the paper's or the protocol's. Knows no file format: `esn_dist.corpora` reads what these describe.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from esn_dist.sweep.base_spec import InvalidName, Name, Spec, identity, runtime

SHARED = ("anger", "joy", "neutral", "sadness")
"""Emotions of all three of the paper's corpora; IEMOCAP adds frustration, the other two surprise."""

PATH = "its folder, relative to this file"


class Limits(Spec):
    """What a clip must keep to take part; a clip that breaks one is set aside, with the reason."""

    shortest: float = identity(0.1, ge=0, description="seconds; a clip that lasts less is too short")
    longest: float = identity(60.0, gt=0, description="seconds; a clip that lasts more is too long")
    quietest: float = identity(-80.0, description="dBFS; a clip whose highest peak lies below is silent")
    length_slack: float = identity(0.1, ge=0, description="seconds between the declared and the decoded length")


class EvaluationSpec(Spec):
    """The held-out, class-balanced set that every cell answers."""

    per_emotion: int = identity(200, ge=1, description="utterances of each emotion")
    splits: tuple[str, ...] | None = identity(None, description="splits to draw from; default: all")


class IdentificationSpec(Spec):
    """The pool in which correctly answered utterances are looked for."""

    candidates: int | None = identity(None, ge=1, description="utterances per emotion at most; default: all the rest")
    cap: int = identity(500, ge=1, description="stop at so many correct ones per emotion (Table 4)")
    size: int | Literal["auto"] = identity("auto", description="correct ones used per emotion; auto: what all have")
    splits: tuple[str, ...] | None = identity(None, description="splits to draw from; default: all")
    speaker_disjoint: bool = identity(False, description="leave out speakers of the evaluation set")
    parts: tuple[Literal["audio", "text", "generated"], ...] = identity(
        ("audio", "text", "generated"), description="positions whose counts are summed"
    )


class CorpusBase(Spec):
    """What every corpus has."""

    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    name: Name = identity(description="its name in store and tables")
    emotions: tuple[Name, ...] = identity(min_length=2, max_length=9, description="labels studied; others set aside")
    words: dict[Name, str] = identity(
        {}, description="emotion → option word shown to the model, e.g. {joy: happiness}; default: the emotion itself"
    )
    limits: Limits = identity(Limits(), description="what a clip must keep")
    evaluation: EvaluationSpec = identity(EvaluationSpec())
    identification: IdentificationSpec = identity(IdentificationSpec())

    @property
    def options(self) -> tuple[str, ...]:
        """The option words shown to the model, in the order of `emotions`."""
        return tuple(self.words.get(emotion, emotion) for emotion in self.emotions)

    @model_validator(mode="before")
    @classmethod
    def _own_defaults(cls, data: Any) -> Any:
        # Key by key: `evaluation: {per_emotion: 100}` must not lose the corpus's own default splits.
        if not isinstance(data, dict):
            return data
        given = {part: data.get(part, {}) for part in cls.defaults}
        filled = {part: {**cls.defaults[part], **said} for part, said in given.items() if isinstance(said, dict)}
        return {**data, **filled}

    @model_validator(mode="after")
    def _distinct_options(self) -> CorpusBase:
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


class SyntheticCorpus(CorpusBase):
    """Synthetic emotional speech, made on the spot (needs the extra `quickstart`)."""

    type: Literal["synthetic"] = identity()
    condition: Literal["studio", "room", "phone"] = identity(description="acoustic condition")
    speech_seed: int = identity(0, description="draws sentences, voices and prosodic jitter")


class IemocapCorpus(CorpusBase):
    """IEMOCAP, full release. Splits: Session1 … Session5. Speakers: Ses01F … Ses05M."""

    type: Literal["iemocap"] = identity()
    path: Path = runtime(description=f"{PATH}: the folder that holds Session1 … Session5, or its parent")
    emotions: tuple[Name, ...] = identity(
        (*SHARED[:1], "frustration", *SHARED[1:]), min_length=2, max_length=9, description="labels studied"
    )
    excited_is_joy: bool = identity(
        False, description="merge `exc` into joy, as most work does; the paper's Table 4 fits `hap` alone only"
    )


class MeldCorpus(CorpusBase):
    """MELD. Splits: train, dev, test. The mp4 clips need the extra `video`."""

    type: Literal["meld"] = identity()
    path: Path = runtime(description=f"{PATH}: MELD.Raw, or its parent, unpacked in whatever way")
    emotions: tuple[Name, ...] = identity(
        (*SHARED, "surprise"), min_length=2, max_length=9, description="labels studied"
    )
    prefer_recuts: bool = identity(
        True, description="where a test clip has a re-cut final_videos_test*, take that: it fits the csv's times"
    )


class MspPodcastCorpus(CorpusBase):
    """MSP-Podcast 1.8 – 2.0. Splits: Train, Development, Test1, Test2. Paper: 500 for evaluation, caps of 1,000."""

    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "evaluation": {"per_emotion": 500, "splits": ("Test1",)},
        "identification": {"cap": 1000, "splits": ("Train",)},
    }

    type: Literal["msp-podcast"] = identity()
    path: Path = runtime(description=f"{PATH}: the folder that holds Labels and Audios (or Audio), or its parent")
    emotions: tuple[Name, ...] = identity(
        (*SHARED, "surprise"), min_length=2, max_length=9, description="labels studied"
    )


class OwnCorpus(CorpusBase):
    """Anyone's own table of utterances, with anyone's own words in it."""

    columns: dict[str, str] = identity(
        {}, description="what the table calls our columns, where it has other names, e.g. {emotion: label}"
    )
    labels: dict[str, Name] = identity(
        {}, description="the table's labels → emotions, e.g. {hap: joy, exc: joy}; others stay as they are"
    )

    @model_validator(mode="after")
    def _known_columns(self) -> OwnCorpus:
        ours = ("id", "path", "emotion", "speaker", "split")
        for column in self.columns:
            if column not in ours:
                raise InvalidName(f"{column!r} is no column of ours", column, ours, ("columns", column))
        return self


class ManifestCorpus(OwnCorpus):
    """Any corpus given as a table of utterances (Parquet needs the extra `parquet`)."""

    type: Literal["manifest"] = identity()
    path: Path = runtime(
        description="CSV, JSONL or Parquet with id, path, emotion, speaker, split; relative to this file"
    )


class AudioFolderCorpus(OwnCorpus):
    """A folder in Hugging Face's `audiofolder` layout: metadata.csv, .jsonl or .parquet, or one folder per label."""

    type: Literal["audiofolder"] = identity()
    path: Path = runtime(description=PATH)


class HuggingFaceCorpus(OwnCorpus):
    """A Hugging Face dataset on disk whose Parquet files hold the audio itself (needs the extra `parquet`)."""

    type: Literal["huggingface"] = identity()
    path: Path = runtime(description=f"{PATH}: a snapshot of the dataset, e.g. from `hf download`")


CorpusSpec = Annotated[
    SyntheticCorpus
    | IemocapCorpus
    | MeldCorpus
    | MspPodcastCorpus
    | ManifestCorpus
    | AudioFolderCorpus
    | HuggingFaceCorpus,
    Field(discriminator="type"),
]
