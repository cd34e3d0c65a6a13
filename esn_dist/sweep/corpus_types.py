"""The registry of corpus types: from the `type` of a corpus in the YAML to its settings and its published counts.

Knows no loader: `esn_dist.corpora` and other packages declare entries next to their loaders, found by import string.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator

from esn_dist.registry import Registry
from esn_dist.sweep.base_spec import InvalidName
from esn_dist.sweep.corpus_spec import CorpusSpec


@dataclass(frozen=True, slots=True)
class PublishedCounts:
    """Utterances that a publication counts in a corpus.

    Attributes:
        source: what was counted, for the user ("the full release").
        splits: split → label → utterances. A key may join several splits by "+", where only their sum is known.
    """

    source: str
    splits: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, kw_only=True)
class CorpusType:
    """What a plan needs to know of a type of corpus; entries are `esn_dist.corpora.loader.CorpusLoader`s.

    Attributes:
        spec: the pydantic model of its settings; its `type` is the entry's name.
        published: counts for a plan made where the corpus is not.
        generated: whether the corpus is made on demand; its identification pool then has a limit by default.
    """

    spec: type[CorpusSpec]
    published: PublishedCounts | None = None
    generated: bool = False


CORPUS_TYPES: Registry[CorpusType] = Registry(
    "esn_dist.corpora",
    "corpus type",
    CorpusType,
    {
        "synthetic": "esn_dist.corpora.synthetic.loader:SYNTHETIC",
        "iemocap": "esn_dist.corpora.iemocap:IEMOCAP",
        "meld": "esn_dist.corpora.meld:MELD",
        "msp-podcast": "esn_dist.corpora.msp_podcast:MSP_PODCAST",
        "manifest": "esn_dist.corpora.manifest:MANIFEST",
        "audiofolder": "esn_dist.corpora.audiofolder:AUDIOFOLDER",
        "huggingface": "esn_dist.corpora.huggingface:HUGGINGFACE",
    },
)


def parse_corpus(data: object) -> CorpusSpec:
    """The settings in `data`, validated by the model of their `type`.

    Raises:
        ValidationError: `data` does not fit the model.
        ValueError: no type, or an unknown one.
    """
    if isinstance(data, CorpusSpec):
        return data
    if not isinstance(data, dict) or "type" not in data:
        raise ValueError(f"a corpus needs a `type`: one of {', '.join(CORPUS_TYPES)}")
    name = data["type"]
    if name not in CORPUS_TYPES:
        raise InvalidName(f"unknown corpus type {name!r}", str(name), CORPUS_TYPES, ("type",))
    return CORPUS_TYPES[name].spec.model_validate(data)


AnyCorpus = Annotated[CorpusSpec, BeforeValidator(parse_corpus)]
"""A field that accepts the settings of every registered type of corpus."""


def corpus_identity(spec: CorpusSpec) -> dict[str, Any]:
    """The identity fields of `spec`, as the store keeps them; a type of another package adds its provider.

    `parts` and `size` are left out: they belong to masks, not to sets.
    """
    runtime = {
        name for name, field in type(spec).model_fields.items() if field.json_schema_extra == {"class": "runtime"}
    }
    kept = spec.model_dump(mode="json", exclude={*runtime, "name", "emotions"})
    kept["identification"] = {k: v for k, v in kept["identification"].items() if k not in ("parts", "size")}
    provider = CORPUS_TYPES.provider(spec.type)
    return {**kept, "provider": provider.identity} if provider else kept
