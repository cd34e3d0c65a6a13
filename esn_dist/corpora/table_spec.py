"""Settings of the corpora that are a user's own table: names of its columns, emotions of its labels.

Knows no file format.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import model_validator

from esn_dist.sweep.base_spec import InvalidName, Name, identity
from esn_dist.sweep.corpus_spec import CorpusSpec

COLUMNS = ("id", "path", "emotion", "speaker", "split")


class TableCorpus(CorpusSpec):
    """Base of the types that read a user's own table of utterances."""

    columns: dict[str, str] = identity(
        {}, description="our column → the table's name of it, where they differ, e.g. {emotion: label}"
    )
    labels: dict[str, Name] = identity(
        {}, description="the table's labels → emotions, e.g. {hap: joy, exc: joy}; others stay as they are"
    )

    @property
    def merged_labels(self) -> Mapping[str, str]:
        return self.labels

    @model_validator(mode="after")
    def _known_columns(self) -> TableCorpus:
        for column in self.columns:
            if column not in COLUMNS:
                raise InvalidName(f"{column!r} is not one of our columns", column, COLUMNS, ("columns", column))
        return self
