"""The synthetic corpus as a type of corpus: a sweep makes it on demand, in the size that its two sets need.

Knows nothing of how speech is made. Needs the extra `quickstart`.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

from esn_dist.corpora.loader import CorpusLoader, LoadOptions
from esn_dist.corpora.manifest import read_manifest
from esn_dist.corpora.synthetic.materialise import materialise
from esn_dist.corpora.utterance import LoadedCorpus
from esn_dist.sweep.base_spec import identity
from esn_dist.sweep.candidate_counts import generated_candidates
from esn_dist.sweep.corpus_spec import CorpusSpec


class SyntheticCorpus(CorpusSpec):
    """Synthetic emotional speech, made on demand (needs the extra `quickstart`)."""

    type: Literal["synthetic"] = identity()
    condition: Literal["studio", "room", "phone"] = identity(description="acoustic condition")
    speech_seed: int = identity(0, description="draws sentences, voices and prosodic jitter")


def split_sizes(spec: SyntheticCorpus) -> Counter[str]:
    """Split → utterances of each emotion to synthesise: enough for the two sets."""
    pool = spec.identification
    sizes: Counter[str] = Counter()
    sizes.update(dict.fromkeys(spec.evaluation.splits or ("evaluation",), spec.evaluation.per_emotion))
    sizes.update(dict.fromkeys(pool.splits or ("identification",), generated_candidates(pool)))
    return sizes


def _load(spec: SyntheticCorpus, options: LoadOptions) -> LoadedCorpus:
    speech, sizes = options.cache / "speech", dict(split_sizes(spec))
    folder = materialise(speech, spec.condition, sizes, spec.speech_seed, options.workers, options.progress)
    return read_manifest(folder / "manifest.csv", spec.emotions)


SYNTHETIC = CorpusLoader(spec=SyntheticCorpus, load=_load, no_count_reason="made on the spot", generated=True)
