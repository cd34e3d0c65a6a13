"""Corpora: tables of utterances in, balanced and decoded sets out, with the reason for everything passed over.

Knows nothing of models, prompts or stores. A loader gives a `Listing`, `scan` draws the sets, `decode_clip` reads one.
"""

from esn_dist.corpora.audio import SAMPLE_RATE, AudioError, decode, decode_clip
from esn_dist.corpora.manifest import read_manifest
from esn_dist.corpora.probe import probe
from esn_dist.corpora.scan import Progress, scan
from esn_dist.corpora.sets import Judge, SetRule, Sets, draw
from esn_dist.corpora.utterance import Clip, Listing, Reason, SetAside, Utterance, keep_emotions
from esn_dist.sweep.corpus_spec import Limits

__all__ = [
    "SAMPLE_RATE",
    "AudioError",
    "Clip",
    "Judge",
    "Limits",
    "Listing",
    "Progress",
    "Reason",
    "SetAside",
    "SetRule",
    "Sets",
    "Utterance",
    "decode",
    "decode_clip",
    "draw",
    "keep_emotions",
    "probe",
    "read_manifest",
    "scan",
]
