"""Decodes the audio of containers that libsndfile cannot read (mp4, m4a, mov, Matroska, WebM, raw AAC) with PyAV.

Knows nothing of limits or emotions. PyAV is imported for the first such file, so a light install works without it.
Decoding runs in a child process: some damaged files crash FFmpeg (seen with PyAV 18 and bytes changed at random).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from esn_dist.corpora.subprocess_decode import SubprocessCrashed, run_in_subprocess
from esn_dist.errors import UserError

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

_Source = TypeVar("_Source")
_Value = TypeVar("_Value")


MOST_CHANNELS = 8
"""7.1. PyAV reads further planes out of bounds, which kills the process."""


class VideoError(Exception):
    """A container without readable audio; the text says why."""


def container_of(data: bytes) -> str | None:
    """FFmpeg's name of the container by its first bytes; None: left to libsndfile. File names are not trusted."""
    if data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "mp4"
    if data[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    # ADTS: twelve set bits, then a layer of 00, which no MPEG audio layer has.
    if len(data) > 1 and data[0] == 0xFF and data[1] & 0xF6 == 0xF0:
        return "aac"
    return None


def declared_seconds(source: str | io.BytesIO, container: str) -> float:
    """Length of the first audio stream as the container declares it, else as the sum of its packets.

    Args:
        source: path, or the file's bytes.

    Raises:
        VideoError: not readable, or no audio in it.
    """
    return _in_subprocess(_declared_seconds, source, container)


def _declared_seconds(source: str | io.BytesIO, container: str) -> float:
    with _audio(source, container) as (opened, stream):
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        base = stream.time_base or 0
        return float(sum((packet.duration or 0) * base for packet in opened.demux(stream)))


def read_frames(source: io.BytesIO, container: str) -> tuple[npt.NDArray[np.float32], int]:
    """`frames[frame, channel]` of the first audio stream, channels in the decoder's order, and their rate in Hz.

    Raises:
        VideoError: not readable, or no audio in it.
    """
    return _in_subprocess(_read_frames, source, container)


def _read_frames(source: io.BytesIO, container: str) -> tuple[npt.NDArray[np.float32], int]:
    planes: list[npt.NDArray[Any]] = []
    with _audio(source, container) as (opened, stream):
        formats = set()
        for frame in opened.decode(stream):
            formats.add((frame.format.name, frame.layout.name, frame.sample_rate))
            if len(formats) > 1 or frame.layout.nb_channels > MOST_CHANNELS:
                raise VideoError("the audio changes its channels or its rate half way, or has too many channels")
            planes += [planar.to_ndarray() for planar in _planar_float(frame)]
    if not planes:
        raise VideoError("the container holds no audio that can be decoded")
    return np.concatenate(planes, axis=1, dtype=np.float32).T, formats.pop()[2]


def _planar_float(frame: AudioFrame) -> list[AudioFrame]:
    """`frame` as 32-bit float with one plane per channel: AAC decodes to it, other codecs are converted."""
    import av

    if frame.format.name == "fltp":
        return [frame]
    return av.AudioResampler(format="fltp", layout=frame.layout, rate=frame.sample_rate).resample(frame)


def _in_subprocess(function: Callable[[_Source, str], _Value], source: _Source, container: str) -> _Value:
    try:
        import av  # noqa: F401 - the child process needs it
    except ModuleNotFoundError:
        raise UserError("clips in mp4, m4a or the like need PyAV", fix="pip install 'esn-dist[video]'") from None
    try:
        return run_in_subprocess(function, source, container)
    except SubprocessCrashed:
        raise VideoError("its decoder crashed on it") from None


@contextmanager
def _audio(source: str | io.BytesIO, container: str) -> Iterator[tuple[InputContainer, AudioStream]]:
    import av

    try:
        # The format is fixed, not guessed: a disguised playlist must not make FFmpeg open the files it names.
        # Tags are not read, so their encoding does not matter.
        with av.open(source, "r", format=container, metadata_errors="replace") as opened:
            if not opened.streams.audio:
                raise VideoError("the container holds no audio")
            stream = opened.streams.audio[0]
            if stream.codec_context is None:
                raise VideoError("the audio's codec is unknown")
            yield opened, stream
    except av.FFmpegError as error:
        raise VideoError(error.strerror or str(error)) from None
