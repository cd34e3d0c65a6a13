"""From a corpus's spec to its utterances: the one place that knows which loader belongs to which `type`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from esn_dist.corpora.audiofolder import read_audiofolder
from esn_dist.corpora.huggingface import read_huggingface
from esn_dist.corpora.iemocap import read_iemocap
from esn_dist.corpora.manifest import read_manifest
from esn_dist.corpora.meld import read_meld
from esn_dist.corpora.msp_podcast import read_msp_podcast
from esn_dist.corpora.scan import Progress
from esn_dist.corpora.synthetic import materialise
from esn_dist.corpora.utterance import Listing
from esn_dist.sweep.corpus_spec import (
    AudioFolderCorpus,
    CorpusSpec,
    HuggingFaceCorpus,
    IemocapCorpus,
    ManifestCorpus,
    MeldCorpus,
    MspPodcastCorpus,
    SyntheticCorpus,
)


def open_corpus(spec: CorpusSpec, cache: Path, *, workers: int = 1, progress: Progress | None = None) -> Listing:
    """The utterances of `spec`; nothing but `cache` is ever written to.

    A synthetic corpus is made under `cache` first, and audio inside Parquet unpacked there, unless it is there.

    Raises:
        UserError: the corpus is not there, or cannot be read as what the spec says it is.
    """
    match spec:
        case SyntheticCorpus():
            speech, wanted = cache / "speech", dict(speech_wanted(spec))
            folder = materialise(speech, spec.condition, wanted, spec.speech_seed, workers, progress)
            return read_manifest(folder / "manifest.csv", spec.emotions)
        case IemocapCorpus():
            return read_iemocap(spec.path, spec.emotions, excited_is_joy=spec.excited_is_joy)
        case MeldCorpus():
            return read_meld(spec.path, spec.emotions, prefer_recuts=spec.prefer_recuts)
        case MspPodcastCorpus():
            return read_msp_podcast(spec.path, spec.emotions)
        case ManifestCorpus():
            return read_manifest(spec.path, spec.emotions, columns=spec.columns, labels=spec.labels)
        case AudioFolderCorpus():
            return read_audiofolder(spec.path, spec.emotions, columns=spec.columns, labels=spec.labels)
        case HuggingFaceCorpus():
            return read_huggingface(spec.path, cache, spec.emotions, columns=spec.columns, labels=spec.labels)


def speech_wanted(spec: SyntheticCorpus) -> Counter[str]:
    """Utterances per emotion that a synthetic corpus makes of each split: what its two sets ask for.

    A pool without a limit gets twice its cap.
    """
    pool = spec.identification
    wanted: Counter[str] = Counter()
    wanted.update(dict.fromkeys(spec.evaluation.splits or ("evaluation",), spec.evaluation.per_emotion))
    wanted.update(dict.fromkeys(pool.splits or ("identification",), pool.candidates or 2 * pool.cap))
    return wanted
