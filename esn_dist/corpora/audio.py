"""Decodes audio files to mono float32 at 16 kHz, for any container, rate and number of channels.

The first bytes decide the format, never the name: libsndfile reads audio formats, PyAV video containers.
Knows nothing of limits, emotions or models. The bytes that are hashed are the bytes that are decoded.
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

from esn_dist.corpora.utterance import Clip, Reason
from esn_dist.corpora.video import VideoError, container_of, declared_seconds, read_frames

SAMPLE_RATE = 16_000
_UNKNOWN = 2**62  # libsndfile reports frames near 2**63 where a streamed FLAC has none in its header


# ITU-R BS.775: centre at 0 dB, front left and right at -3 dB, surrounds at -6 dB, no LFE; scaled so that the sum cannot
# clip. `ffmpeg -ac 1` writes the same into a 16-bit file. Order: FL FR FC LFE BL BR.
_SURROUND_6 = np.array([0.5**0.5, 0.5**0.5, 1, 0, 0.5, 0.5])
DOWNMIX_6 = (_SURROUND_6 / _SURROUND_6.sum()).astype(np.float32)


class AudioError(Exception):
    """A file without a valid clip: `reason` is the stored code, `detail` the message for the user."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def decode(path: Path) -> npt.NDArray[np.float32]:
    """The file as `wave[sample]`: mono, 16 kHz (soxr, very high quality).

    Mono is the mean of the channels. Six channels are 5.1 and get the standard downmix `DOWNMIX_6`, because speech is
    in the centre: the plain mean lowers it, and the first channel does not have it.

    Raises:
        AudioError: missing or unreadable.
    """
    return mono_16k(*frames_of(read_file(path)))


def decode_clip(clip: Clip) -> npt.NDArray[np.float32]:
    """`decode` a clip of an earlier scan; the file must not have changed.

    Raises:
        AudioError: missing, unreadable, or changed since the scan.
    """
    data = read_file(clip.utterance.path)
    if (current := sha256_of(data)) != clip.sha256:
        raise AudioError(Reason.CHANGED, f"sha256 was {clip.sha256[:12]} at the scan and is {current[:12]}")
    return mono_16k(*frames_of(data))


def header_of(source: str | io.BytesIO, start: bytes) -> tuple[float, float]:
    """Seconds by the header, and the factor by which it overstates the file's length; decodes nothing.

    Args:
        source: path, or the file's bytes.
        start: the file's first bytes.

    Raises:
        AudioError: unreadable.
    """
    if container := container_of(start):
        try:
            return declared_seconds(source, container), 1.0
        except VideoError as error:
            raise AudioError(Reason.UNREADABLE, str(error)) from None
    try:
        info = soundfile.info(source)
    except soundfile.LibsndfileError as error:
        raise AudioError(Reason.UNREADABLE, error.error_string) from None
    if info.frames > _UNKNOWN:
        raise AudioError(Reason.UNREADABLE, "the header does not say how long the audio is; encode the file again")
    return float(info.duration), _shortened(info.extra_info)


# For a truncated WAV or AIFF libsndfile counts the frames that are left, and logs the length that the header declares.
_CUT = re.compile(r"^ *(?:data|SSND) : (?P<declared>\d+) \(should be (?P<actual>\d+)\)", re.MULTILINE)


def _shortened(log: str) -> float:
    """Declared length divided by actual length; 1 for a complete file.

    Writers to a pipe leave a size of 0 or near 2 or 4 GiB, which declares no length.
    """
    cut = _CUT.search(log)
    if cut is None or not int(cut["actual"]) < int(cut["declared"]) < 0x7FFF_F000:
        return 1.0
    return int(cut["declared"]) / max(int(cut["actual"]), 1)


def frames_of(data: bytes) -> tuple[npt.NDArray[np.float32], int]:
    """`frames[frame, channel]` and their rate in Hz.

    Raises:
        AudioError: unreadable.
    """
    if container := container_of(data):
        try:
            return read_frames(FileBytes(data), container)
        except VideoError as error:
            raise AudioError(Reason.UNREADABLE, str(error)) from None
    try:
        frames, rate = soundfile.read(FileBytes(data), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise AudioError(Reason.UNREADABLE, error.error_string) from None
    return frames, rate


class FileBytes(io.BytesIO):
    """Bytes in which a seek to an invalid offset does nothing, as damaged headers ask for such seeks.

    BytesIO raises instead, and an exception inside libsndfile's callback cannot be caught.
    """

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


def mono_16k(frames: npt.NDArray[np.float32], rate: int) -> npt.NDArray[np.float32]:
    """`frames[frame, channel]` as `wave[sample]` at 16 kHz."""
    channels = frames.shape[1]
    mono = frames[:, 0] if channels == 1 else frames @ DOWNMIX_6 if channels == len(DOWNMIX_6) else frames.mean(axis=1)
    if rate == SAMPLE_RATE or not len(mono):
        return mono
    wave: npt.NDArray[np.float32] = soxr.resample(mono, rate, SAMPLE_RATE, quality="VHQ")
    return wave


def read_file(path: Path, limit: int = -1) -> bytes:
    """The file's bytes, or its first `limit`; at least one byte.

    Raises:
        AudioError: missing or unreadable.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit)
    except (FileNotFoundError, NotADirectoryError):
        raise AudioError(Reason.MISSING, f"no file {path}") from None
    except OSError as error:
        raise AudioError(Reason.UNREADABLE, f"{error.strerror} ({path})") from None
    if not data:
        raise AudioError(Reason.UNREADABLE, "the file is empty")
    return data


def sha256_of(data: bytes) -> str:
    """Hex digest of the content, which identifies a clip."""
    return hashlib.sha256(data).hexdigest()
