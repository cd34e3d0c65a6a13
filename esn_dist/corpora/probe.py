"""Validates the file of an utterance: the result is a clip, or an exclusion with the first limit that it violates.

No content of a file raises an exception. Knows nothing of sets and emotions.
"""

from __future__ import annotations

import numpy as np

from esn_dist.corpora.audio import (
    SAMPLE_RATE,
    AudioError,
    FileBytes,
    frames_of,
    header_of,
    mono_16k,
    read_file,
    sha256_of,
)
from esn_dist.corpora.utterance import Clip, Exclusion, Reason, Utterance
from esn_dist.sweep.corpus_spec import Limits

START = 16  # bytes that identify a container


def probe(utterance: Utterance, limits: Limits) -> Clip | Exclusion:
    """Decode the file of `utterance` and validate it by `limits`."""
    try:
        data = read_file(utterance.path)
        return Clip(utterance, samples=_validated_samples(data, limits), sha256=sha256_of(data))
    except AudioError as error:
        return Exclusion(utterance.id, utterance.emotion, error.reason, error.detail)


def probe_header(utterance: Utterance, limits: Limits) -> Clip | Exclusion:
    """As `probe` from the header alone: fast, without a hash, and blind to damage and silence."""
    try:
        seconds, overstated = header_of(str(utterance.path), read_file(utterance.path, START))
        _check_most(seconds, limits)
        _check_declared(seconds * overstated, seconds, limits)
        _check_least(seconds, limits)
        return Clip(utterance, samples=round(seconds * SAMPLE_RATE), sha256="")
    except AudioError as error:
        return Exclusion(utterance.id, utterance.emotion, error.reason, error.detail)


def _validated_samples(data: bytes, limits: Limits) -> int:
    """Samples at 16 kHz of a file that meets `limits`."""
    declared, overstated = header_of(FileBytes(data), data[:START])
    _check_most(declared, limits)  # before decoding, because a file may last hours
    frames, rate = frames_of(data)
    decoded = len(frames) / rate
    _check_declared(declared * overstated, decoded, limits)
    _check_least(decoded, limits)
    if non_finite := int(np.count_nonzero(~np.isfinite(frames))):
        raise AudioError(Reason.NON_FINITE, f"{non_finite} of {frames.size} samples are NaN or infinite")
    wave = mono_16k(frames, rate)
    peak = float(np.abs(wave).max())
    if peak < 10 ** (limits.quietest / 20):
        level = f"{20 * np.log10(peak):.1f} dBFS" if peak else "digital zero"
        raise AudioError(Reason.SILENT, f"peaks at {level}, the least is {limits.quietest:g} dBFS")
    return len(wave)


def _check_most(seconds: float, limits: Limits) -> None:
    if seconds > limits.longest:
        raise AudioError(Reason.TOO_LONG, f"lasts {seconds:.1f} s, the most is {limits.longest:g} s")


def _check_least(seconds: float, limits: Limits) -> None:
    if seconds < limits.shortest:
        raise AudioError(Reason.TOO_SHORT, f"lasts {seconds:.3f} s, the least is {limits.shortest:g} s")


def _check_declared(declared: float, decoded: float, limits: Limits) -> None:
    if abs(declared - decoded) > limits.length_slack:
        raise AudioError(Reason.LENGTH_MISMATCH, f"declares {declared:.3f} s and holds {decoded:.3f} s")
