"""A verdict on each utterance's file: a clip that is fit, or the first limit that it breaks.

Never raises for what a file may hold. Knows nothing of sets and emotions.
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
from esn_dist.corpora.utterance import Clip, Reason, SetAside, Utterance
from esn_dist.sweep.corpus_spec import Limits

START = 16  # bytes that tell a container from another


def probe(utterance: Utterance, limits: Limits) -> Clip | SetAside:
    """Decode `utterance` and judge it by `limits`."""
    try:
        data = read_file(utterance.path)
        return Clip(utterance, samples=_judged_samples(data, limits), sha256=sha256_of(data))
    except AudioError as error:
        return SetAside(utterance.id, utterance.emotion, error.reason, error.detail)


def probe_header(utterance: Utterance, limits: Limits) -> Clip | SetAside:
    """As `probe`, by what the file declares alone: fast, without a hash, and blind to what only decoding shows."""
    try:
        seconds, longer = header_of(str(utterance.path), read_file(utterance.path, START))
        _check_most(seconds, limits)
        _check_declared(seconds * longer, seconds, limits)
        _check_least(seconds, limits)
        return Clip(utterance, samples=round(seconds * SAMPLE_RATE), sha256="")
    except AudioError as error:
        return SetAside(utterance.id, utterance.emotion, error.reason, error.detail)


def _judged_samples(data: bytes, limits: Limits) -> int:
    """Samples at 16 kHz of a file that keeps `limits`."""
    declared, longer = header_of(FileBytes(data), data[:START])
    _check_most(declared, limits)  # a file of hours is refused before anything of it is decoded
    frames, rate = frames_of(data)
    held = len(frames) / rate
    _check_declared(declared * longer, held, limits)
    _check_least(held, limits)
    if bad := int(np.count_nonzero(~np.isfinite(frames))):
        raise AudioError(Reason.NON_FINITE, f"{bad} of {frames.size} samples are NaN or infinite")
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


def _check_declared(declared: float, held: float, limits: Limits) -> None:
    if abs(declared - held) > limits.length_slack:
        raise AudioError(Reason.LENGTH_MISMATCH, f"declares {declared:.3f} s and holds {held:.3f} s")
