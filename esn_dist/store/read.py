"""Everything that an analyst reads from a store: datasets, passes over counts, tables, descriptions.

The functions are those of `datasets`, `read_counts`, `read_tables` and `describe`. None of them needs torch or Ray.
"""

from __future__ import annotations

from esn_dist.store.datasets import open_answers, open_counts, open_masks, read_texts
from esn_dist.store.describe import Description, describe, read_corpus, read_emotions, read_model
from esn_dist.store.read_counts import CountBlock, CountShard, count_blocks, count_shards
from esn_dist.store.read_tables import (
    read_cell_masks,
    read_cells,
    read_exclusions,
    read_masks,
    read_members,
    read_utterances,
)

__all__ = [
    "CountBlock",
    "CountShard",
    "Description",
    "count_blocks",
    "count_shards",
    "describe",
    "open_answers",
    "open_counts",
    "open_masks",
    "read_cell_masks",
    "read_cells",
    "read_corpus",
    "read_emotions",
    "read_exclusions",
    "read_masks",
    "read_members",
    "read_model",
    "read_texts",
    "read_utterances",
]
