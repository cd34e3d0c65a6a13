"""Audio out of the containers that libsndfile cannot read (mp4, m4a, mov, Matroska, WebM, raw AAC), by PyAV.

Knows nothing of limits or emotions. PyAV is imported when the first such file is met: a light install does without. It
works in a process of its own: some damaged files crash FFmpeg (seen with PyAV 18 and bytes changed at random).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from esn_dist.corpora.apart import Crashed, apart
from esn_dist.errors import UserError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

Source = TypeVar("Source")
Value = TypeVar("Value")


class VideoError(Exception):
    """A container that gives no audio; the text says why."""


def container_of(data: bytes) -> str | None:
    """FFmpeg's name of the container by its first bytes, or None for what libsndfile may know. Names of files lie."""
    if data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "mp4"
    if data[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    # ADTS: twelve set bits, then a layer of 00, which no MPEG audio layer has.
    if len(data) > 1 and data[0] == 0xFF and data[1] & 0xF6 == 0xF0:
        return "aac"
    return None


def declared_seconds(source: str | io.BytesIO, container: str) -> float:
    """Length of the first audio stream by the container's word; of a container without one, by its packets.

    Args:
        source: path, or the file's bytes.

    Raises:
        VideoError: not readable, or no audio in it.
    """
    return _apart(_declared_seconds, source, container)


def _declared_seconds(source: str | io.BytesIO, container: str) -> float:
    with _audio(source, container) as (opened, stream):
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        base = stream.time_base or 0
        return float(sum((packet.duration or 0) * base for packet in opened.demux(stream)))


def read_frames(data: bytes, container: str) -> tuple[npt.NDArray[np.float32], int]:
    """`frames[frame, channel]` of the first audio stream, channels in the decoder's order, and their rate in Hz.

    Raises:
        VideoError: not readable, or no audio in it.
    """
    return _apart(_read_frames, data, container)


def _read_frames(data: bytes, container: str) -> tuple[npt.NDArray[np.float32], int]:
    import av

    with _audio(io.BytesIO(data), container) as (opened, stream):
        # Planar float of the same rate and layout: what AAC decodes to, and a plain conversion for any other codec.
        convert = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
        decoded = [*opened.decode(stream), None]  # None: what the resampler still holds
        planes = [frame.to_ndarray() for item in decoded for frame in convert.resample(item)]
        empty = np.zeros((stream.layout.nb_channels, 0), np.float32)
        return np.concatenate([empty, *planes], axis=1, dtype=np.float32).T, stream.rate


def _apart(function: Callable[[Source, str], Value], source: Source, container: str) -> Value:
    try:
        import av  # noqa: F401 - the process that decodes must find it
    except ModuleNotFoundError:
        raise UserError("clips in mp4, m4a or the like need PyAV", fix="pip install 'esn-dist[video]'") from None
    try:
        return apart(function, source, container)
    except Crashed:
        raise VideoError("its decoder crashed on it") from None


@contextmanager
def _audio(source: str | io.BytesIO, container: str) -> Iterator[tuple[InputContainer, AudioStream]]:
    import av

    try:
        # The format is given, not guessed: a playlist in disguise must not make FFmpeg open what it names.
        with av.open(source, "r", format=container) as opened:
            if not opened.streams.audio:
                raise VideoError("the container holds no audio")
            yield opened, opened.streams.audio[0]
    except (av.FFmpegError, ValueError) as error:  # ValueError: a stream that changes its layout half way
        raise VideoError(getattr(error, "strerror", None) or str(error)) from None
