"""What a store holds besides its data: the attributes of sweep, corpora and models, and numbers of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from esn_dist.errors import UserError
from esn_dist.store.folder import StoreFolder, answers_group, corpus_group, counts_group, model_group
from esn_dist.store.read_tables import read_exclusions, read_masks, read_utterances
from esn_dist.store.schema import STORE_VERSION, VERSION_ATTRIBUTE
from esn_dist.store.zarr_nodes import children, has_node, read_attributes, require_group


@dataclass(frozen=True, slots=True)
class Description:
    """What a store holds.

    Attributes:
        attributes: of the sweep: name, seed, question, version of the store.
        corpora: by name: emotions, the identity of the corpus, `evaluation_utterances`, `identification_utterances`,
            and `excluded`: the number of exclusions by reason (`set_aside` repeats it for readers of earlier versions).
        models: by name: attributes, number of `masks`, and the corpora with `counts` and with `answers`.
    """

    attributes: dict[str, Any]
    corpora: dict[str, dict[str, Any]]
    models: dict[str, dict[str, Any]]


def describe(folder: StoreFolder) -> Description:
    """Everything but the data; fast. Raises `UserError` where no store exists, or one of a newer version."""
    folder.require()
    attributes = read_attributes(folder, "")
    if attributes.get(VERSION_ATTRIBUTE, 0) > STORE_VERSION:
        raise UserError(
            f"this store has version {attributes[VERSION_ATTRIBUTE]}",
            where=str(folder.root),
            expected=f"at most {STORE_VERSION}",
            fix="pip install --upgrade esn-dist",
        )
    corpora = {name: _describe_corpus(folder, name) for name in children(folder, "corpora")}
    models = {name: _describe_model(folder, name) for name in children(folder, "models")}
    return Description(attributes, corpora, models)


def read_model(folder: StoreFolder, model: str) -> dict[str, Any] | None:
    """A model's attributes (layers, width, fingerprint of its weights, …), or None for a model that is not stored."""
    path = model_group(model)
    return read_attributes(folder, path) if has_node(folder, path) else None


def read_corpus(folder: StoreFolder, corpus: str) -> dict[str, Any]:
    """A corpus's attributes: emotions, and its identity. Raises `UserError` where the store does not have it."""
    return read_attributes(folder, require_group(folder, corpus_group(corpus)))


def read_emotions(folder: StoreFolder, corpus: str) -> tuple[str, ...]:
    """The emotions of a corpus, in the order of their codes."""
    return tuple(read_attributes(folder, corpus_group(corpus))["emotions"])


def _describe_corpus(folder: StoreFolder, corpus: str) -> dict[str, Any]:
    reasons = read_exclusions(folder, corpus).reason
    excluded = {reason: reasons.count(reason) for reason in sorted(set(reasons))}
    return {
        **read_attributes(folder, corpus_group(corpus)),
        "evaluation_utterances": len(read_utterances(folder, corpus, "evaluation").row_by_id()),
        "identification_utterances": len(read_utterances(folder, corpus, "identification").row_by_id()),
        "excluded": excluded,
        "set_aside": excluded,
    }


def _describe_model(folder: StoreFolder, model: str) -> dict[str, Any]:
    path = model_group(model)
    corpora = [name for name in children(folder, path) if name != "masks"]
    return {
        **read_attributes(folder, path),
        "masks": len(read_masks(folder, model).row_by_id()),
        "counts": [name for name in corpora if has_node(folder, counts_group(model, name))],
        "answers": [name for name in corpora if has_node(folder, answers_group(model, name))],
    }
