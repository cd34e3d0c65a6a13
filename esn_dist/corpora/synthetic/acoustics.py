"""Three acoustic conditions in place of three corpora: a studio, a reverberant room, a telephone line.

Knows neither emotions nor files: samples in, samples out, float64 mono at 16 kHz.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from esn_dist.corpora.audio import SAMPLE_RATE

SPEECH_LEVEL = -30.0  # dBFS of neutral speech: headroom for angry peaks
Samples = npt.NDArray[np.float64]


def studio(speech: Samples, random: np.random.Generator) -> Samples:
    """A close microphone: white noise far below the voice."""
    return _with_noise(speech, random, below=random.uniform(30.0, 40.0), slope=0.0)


def room(speech: Samples, random: np.random.Generator) -> Samples:
    """A living room: a tail of 0.25-0.5 s (RT60) and low-frequency background noise."""
    wet = _convolve(speech, _tail(random, random.uniform(0.25, 0.5)))[: len(speech)]
    return _with_noise(wet, random, below=random.uniform(14.0, 22.0), slope=-3.0)


def phone(speech: Samples, random: np.random.Generator) -> Samples:
    """A telephone line: 300-3400 Hz, line noise, 8-bit mu-law companding (ITU-T G.711)."""
    line = shape(speech, lambda hertz: np.asarray((hertz > 300) & (hertz < 3400), np.float64))
    line = _with_noise(line, random, below=random.uniform(18.0, 26.0), slope=0.0)
    line = shape(line, lambda hertz: np.asarray(hertz < 3700, np.float64))
    companded = np.sign(line) * np.log1p(255.0 * np.minimum(np.abs(line), 1.0)) / np.log(256.0)
    companded = np.round(companded * 127.0) / 127.0
    received: Samples = np.sign(companded) * (256.0 ** np.abs(companded) - 1.0) / 255.0
    return received


CONDITIONS: dict[str, Callable[[Samples, np.random.Generator], Samples]] = {
    "studio": studio,
    "room": room,
    "phone": phone,
}


def shape(samples: Samples, gain: Callable[[Samples], Samples]) -> Samples:
    """Filter by `gain(hertz)`, a factor for each frequency, without changing phases."""
    spectrum = np.fft.rfft(samples)
    hertz = np.asarray(np.fft.rfftfreq(len(samples), 1.0 / SAMPLE_RATE), np.float64)
    return np.fft.irfft(spectrum * gain(hertz), len(samples))


def tilt(samples: Samples, decibels_per_octave: float) -> Samples:
    """Tilt the spectrum around 1 kHz, flat below 125 Hz."""
    exponent = decibels_per_octave / (20.0 * np.log10(2.0))
    return shape(samples, lambda hertz: (np.maximum(hertz, 125.0) / 1000.0) ** exponent)


def level(samples: Samples) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(samples**2)))


def decibels(value: float) -> float:
    """A level difference in dB as an amplitude factor."""
    return float(10.0 ** (value / 20.0))


def _with_noise(samples: Samples, random: np.random.Generator, below: float, slope: float) -> Samples:
    """Add noise `below` dB under the level of neutral speech, so that the noise is closer to soft speech."""
    noise = tilt(random.standard_normal(len(samples)), slope)
    return samples + noise * (decibels(SPEECH_LEVEL - below) / level(noise))


def _tail(random: np.random.Generator, rt60: float) -> Samples:
    """A direct path and an exponentially decaying noise tail 6 dB below it."""
    seconds = np.arange(int(rt60 * SAMPLE_RATE)) / SAMPLE_RATE
    tail = random.standard_normal(len(seconds)) * 10.0 ** (-3.0 * seconds / rt60)
    tail *= decibels(-6.0) / np.sqrt(np.sum(tail**2))
    tail[0] += 1.0
    return tail


def _convolve(samples: Samples, response: Samples) -> Samples:
    size = len(samples) + len(response) - 1
    return np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(response, size), size)
