"""Audio files as mono float32 at 16 kHz, and a verdict on each: a clip that is fit, or the reason why not.

What a file is, its first bytes say, never its name: libsndfile reads the audio formats, PyAV the video containers.
Knows nothing of emotions, sets or models. The bytes that are hashed are the bytes that are decoded.
"""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from esn_dist.corpora.utterance import Clip, Reason, SetAside, Utterance
from esn_dist.corpora.video import VideoError, container_of, declared_seconds, read_frames
from esn_dist.sweep.corpus_spec import Limits

SAMPLE_RATE = 16_000
_UNKNOWN = 2**62  # libsndfile reports frames near 2**63 where a streamed FLAC has none in its header


# ITU-R BS.775: centre whole, front left and right at -3 dB, surrounds at -6 dB, no LFE; scaled so that nothing can
# clip. It is what `ffmpeg -ac 1` writes into a 16-bit file. Order: FL FR FC LFE BL BR.
_SURROUND_6 = np.array([0.5**0.5, 0.5**0.5, 1, 0, 0.5, 0.5])
DOWNMIX_6 = (_SURROUND_6 / _SURROUND_6.sum()).astype(np.float32)


class AudioError(Exception):
    """A file that gives no clip: `reason` for the books, `detail` for the reader."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def decode(path: Path) -> npt.NDArray[np.float32]:
    """The file as `wave[sample]`: mono, 16 kHz (soxr, very high quality).

    Mono is the mean of the channels; of six, which are 5.1, the standard downmix `DOWNMIX_6`: speech sits in the
    centre, which the plain mean lowers and the first channel lacks.

    Raises:
        AudioError: missing or unreadable.
    """
    return _mono_16k(*_frames(_read(path)))


def decode_clip(clip: Clip) -> npt.NDArray[np.float32]:
    """`decode` of a clip that was scanned before, which must still be the same file.

    Raises:
        AudioError: missing, unreadable, or changed since the scan.
    """
    data = _read(clip.utterance.path)
    if (now := _sha256(data)) != clip.sha256:
        raise AudioError(Reason.CHANGED, f"sha256 was {clip.sha256[:12]} at the scan and is {now[:12]}")
    return _mono_16k(*_frames(data))


def probe(utterance: Utterance, limits: Limits) -> Clip | SetAside:
    """Decode `utterance` and judge it by `limits`; never raises for what a file may hold."""
    try:
        data = _read(utterance.path)
        return Clip(utterance, samples=_judged_samples(data, limits), sha256=_sha256(data))
    except AudioError as error:
        return SetAside(utterance.id, utterance.emotion, error.reason, error.detail)


def _judged_samples(data: bytes, limits: Limits) -> int:
    """Samples at 16 kHz of a file that keeps `limits`; the first limit it breaks is the reason it is refused."""
    declared = _declared_seconds(data, limits)
    frames, rate = _frames(data)
    held = _seconds(frames, rate)
    if abs(declared - held) > limits.length_slack:
        raise AudioError(Reason.LENGTH_MISMATCH, f"declares {declared:.3f} s and holds {held:.3f} s")
    if held < limits.shortest:
        raise AudioError(Reason.TOO_SHORT, f"lasts {held:.3f} s, the least is {limits.shortest:g} s")
    if bad := int(np.count_nonzero(~np.isfinite(frames))):
        raise AudioError(Reason.NON_FINITE, f"{bad} of {frames.size} samples are NaN or infinite")
    wave = _mono_16k(frames, rate)
    peak = float(np.abs(wave).max())
    if peak < 10 ** (limits.quietest / 20):
        level = f"{20 * np.log10(peak):.1f} dBFS" if peak else "digital zero"
        raise AudioError(Reason.SILENT, f"peaks at {level}, the least is {limits.quietest:g} dBFS")
    return len(wave)


def _declared_seconds(data: bytes, limits: Limits) -> float:
    """Length by the header. A file of hours is refused here, before anything of it is decoded."""
    seconds, shortened = _header(data)
    if seconds > limits.longest:
        raise AudioError(Reason.TOO_LONG, f"lasts {seconds:.1f} s, the most is {limits.longest:g} s")
    return seconds * shortened


def _header(data: bytes) -> tuple[float, float]:
    """Seconds by the header, and how many times longer it says the file is than what it holds."""
    if container := container_of(data):
        try:
            declared = declared_seconds(data, container)
        except VideoError as error:
            raise AudioError(Reason.UNREADABLE, str(error)) from None
        # Raw AAC has no header at all: its length is what it holds.
        return (_seconds(*_frames(data)) if declared is None else declared), 1.0
    try:
        info = soundfile.info(_File(data))
    except soundfile.LibsndfileError as error:
        raise AudioError(Reason.UNREADABLE, error.error_string) from None
    if info.frames > _UNKNOWN:
        raise AudioError(Reason.UNREADABLE, "the header does not say how long the audio is; encode the file again")
    return float(info.duration), _shortened(info.extra_info)


# libsndfile takes the frames of a cut WAV or AIFF from what is left of it, and notes the header's word in its log.
_CUT = re.compile(r"^ *(?:data|SSND) : (?P<declared>\d+) \(should be (?P<held>\d+)\)", re.MULTILINE)


def _shortened(log: str) -> float:
    """How many times longer the header says the file is than what it holds; 1 for a whole file.

    Writers to a pipe leave a size of 0 or near 2 or 4 GiB, which declares nothing.
    """
    cut = _CUT.search(log)
    if cut is None or not int(cut["held"]) < int(cut["declared"]) < 0x7FFF_F000:
        return 1.0
    return int(cut["declared"]) / max(int(cut["held"]), 1)


def _frames(data: bytes) -> tuple[npt.NDArray[np.float32], int]:
    """`frames[frame, channel]` and their rate in Hz."""
    if container := container_of(data):
        try:
            return read_frames(data, container)
        except VideoError as error:
            raise AudioError(Reason.UNREADABLE, str(error)) from None
    try:
        frames, rate = soundfile.read(_File(data), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise AudioError(Reason.UNREADABLE, error.error_string) from None
    return frames, rate


def _seconds(frames: npt.NDArray[np.float32], rate: int) -> float:
    return len(frames) / rate


class _File(io.BytesIO):
    """Bytes that a damaged header may seek about in: a seek to nowhere stays put, as a file's does.

    BytesIO raises instead, and inside libsndfile's callback nobody can catch that.
    """

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


def _mono_16k(frames: npt.NDArray[np.float32], rate: int) -> npt.NDArray[np.float32]:
    channels = frames.shape[1]
    mono = frames[:, 0] if channels == 1 else frames @ DOWNMIX_6 if channels == len(DOWNMIX_6) else frames.mean(axis=1)
    if rate == SAMPLE_RATE or not len(mono):
        return mono
    wave: npt.NDArray[np.float32] = soxr.resample(mono, rate, SAMPLE_RATE, quality="VHQ")
    return wave


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise AudioError(Reason.MISSING, f"no file {path}") from None
    except OSError as error:
        raise AudioError(Reason.UNREADABLE, f"{error.strerror} ({path})") from None
    if not data:
        raise AudioError(Reason.UNREADABLE, "the file is empty")
    return data


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
