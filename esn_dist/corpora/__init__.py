"""Corpora: from tables of utterances to balanced sets of decoded clips, with a reason for every exclusion.

Knows nothing of models, prompts or stores. `load_corpus` lists utterances, `scan` draws sets of clips.
"""

from esn_dist.corpora.audio import SAMPLE_RATE, AudioError, decode, decode_clip
from esn_dist.corpora.loader import ProgressCallback, load_corpus
from esn_dist.corpora.manifest import read_manifest
from esn_dist.corpora.probe import probe
from esn_dist.corpora.scan import scan
from esn_dist.corpora.sets import SetRule, Sets, Validator, draw
from esn_dist.corpora.utterance import Clip, Exclusion, LoadedCorpus, Reason, Utterance, keep_emotions
from esn_dist.sweep.corpus_spec import Limits

__all__ = [
    "SAMPLE_RATE",
    "AudioError",
    "Clip",
    "Exclusion",
    "Limits",
    "LoadedCorpus",
    "ProgressCallback",
    "Reason",
    "SetRule",
    "Sets",
    "Utterance",
    "Validator",
    "decode",
    "decode_clip",
    "draw",
    "keep_emotions",
    "load_corpus",
    "probe",
    "read_manifest",
    "scan",
]
