"""From a corpus's spec to its utterances: the one place that knows which loader belongs to which `type`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from esn_dist.corpora.manifest import read_manifest
from esn_dist.corpora.scan import Progress
from esn_dist.corpora.synthetic import materialise
from esn_dist.corpora.utterance import Listing
from esn_dist.sweep.spec import CorpusSpec, SyntheticCorpus


def open_corpus(
    spec: CorpusSpec, cache: Path, *, workers: int = 1, progress: Progress | None = None
) -> tuple[Listing, Path]:
    """The utterances of `spec`, and the folder that their paths are told from.

    A synthetic corpus is made under `cache` first, unless it is there.
    """
    if isinstance(spec, SyntheticCorpus):
        speech = cache / "speech"
        folder = materialise(speech, spec.condition, dict(speech_wanted(spec)), spec.speech_seed, workers, progress)
        manifest = folder / "manifest.csv"
    else:
        manifest = spec.path
    return read_manifest(manifest, spec.emotions), manifest.parent


def speech_wanted(spec: SyntheticCorpus) -> Counter[str]:
    """Utterances per emotion that a synthetic corpus makes of each split: what its two sets ask for.

    A pool without a limit gets twice its cap.
    """
    pool = spec.identification
    wanted: Counter[str] = Counter()
    wanted.update(dict.fromkeys(spec.evaluation.splits or ("evaluation",), spec.evaluation.per_emotion))
    wanted.update(dict.fromkeys(pool.splits or ("identification",), pool.candidates or 2 * pool.cap))
    return wanted
