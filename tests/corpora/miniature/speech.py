"""In the place of speech: a hum that swells and fades, as wav, or as mp4 with 5.1 or stereo AAC and a picture.

Knows no corpus. Everything is a function of its arguments.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import numpy.typing as npt
import soundfile
from av.container import OutputContainer

VIDEO_RATE = 48_000
FRAME = 1_024  # samples of an AAC frame: clips are whole numbers of them


def hum(seconds: float, rate: int = 16_000, pitch: float = 160.0, level: float = 0.3) -> npt.NDArray[np.float32]:
    """Four harmonics that swell and fade three times a second."""
    time = np.arange(round(seconds * rate)) / rate
    tones = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 5))
    return np.asarray(level * tones * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time)), np.float32)


def write_wav(path: Path, samples: int, pitch: float = 160.0) -> None:
    """PCM 16-bit, mono, 16 kHz behind a header of 44 bytes, as IEMOCAP and MSP-Podcast have it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, hum(samples / 16_000, pitch=pitch), 16_000, subtype="PCM_16")


def write_mp4(path: Path, frames: int, channels: int = 6) -> None:
    """H.264 and AAC at 48 kHz, `frames` × 1024 samples long. In 5.1 the voice is in the centre, noise around it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_clip(frames, channels))


@cache
def _clip(frames: int, channels: int) -> bytes:
    voice = hum(frames * FRAME / VIDEO_RATE, VIDEO_RATE)
    sound = 0.01 * np.random.default_rng(0).standard_normal((channels, len(voice))).astype(np.float32)
    for channel in (2,) if channels == 6 else range(channels):
        sound[channel] += voice
    return mp4(sound)


def mp4(sound: npt.NDArray[np.float32], *, codec: str = "aac", fast_start: bool = False, title: str = "") -> bytes:
    """`sound[channel, sample]` at 48 kHz as an mp4 with a picture of one colour.

    Args:
        fast_start: the index before the data, so that a cut file still opens.
    """
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(sound)]
    options = {"movflags": "faststart"} if fast_start else {}
    with TemporaryDirectory() as folder:
        path = Path(folder, "clip.mp4")
        with av.open(str(path), "w", options=options) as file:
            file.metadata["title"] = title
            _encode(file, sound, codec, layout)
        return path.read_bytes()


def _encode(file: OutputContainer, sound: npt.NDArray[np.float32], codec: str, layout: str) -> None:
    picture = file.add_stream("libx264", rate=Fraction(24_000, 1_001))
    audio = file.add_stream(codec, rate=VIDEO_RATE, layout=layout)
    assert isinstance(picture, av.VideoStream) and isinstance(audio, av.AudioStream)
    picture.width, picture.height, picture.pix_fmt = 32, 32, "yuv420p"
    file.mux(picture.encode(av.VideoFrame.from_ndarray(np.full((32, 32, 3), 90, np.uint8), format="rgb24")))
    file.mux(picture.encode(None))
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound), format="fltp", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = VIDEO_RATE, 0, Fraction(1, VIDEO_RATE)
    file.mux(audio.encode(frame))
    file.mux(audio.encode(None))
