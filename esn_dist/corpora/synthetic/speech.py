"""Synthesises one utterance: espeak (inside Praat) reads a sentence with the prosody of an emotion.

Knows nothing of files. The draws are a pure function of (DRAWS, seed, id); the sound also depends on espeak's state
(see block.py).
"""

from __future__ import annotations

import functools
import importlib.metadata
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from esn_dist.corpora.audio import SAMPLE_RATE
from esn_dist.corpora.synthetic.acoustics import CONDITIONS, SPEECH_LEVEL, Samples, decibels, level, tilt
from esn_dist.corpora.synthetic.rules import ACCENTS, DRAWS, JITTER, PROSODY, SENTENCES, STRENGTH, VOICES, Prosody
from esn_dist.errors import UserError
from esn_dist.seeds import generator

SYNTHETIC_EMOTIONS = tuple(sorted(PROSODY))
WORDS_PER_MINUTE = 190.0
MARGIN = int(0.05 * SAMPLE_RATE)  # kept before the first and after the last sound


@dataclass(frozen=True, slots=True)
class SpeechKey:
    """Key of an utterance: from it and the seed everything is drawn."""

    condition: str
    split: str
    emotion: str
    number: int

    @property
    def id(self) -> str:
        return f"{self.condition}-{self.split}-{self.emotion}-{self.number:04d}"


@dataclass(frozen=True, slots=True)
class Draw:
    """The draws of one utterance: voice, sentence, and prosody with its strength and deviations."""

    voice: str
    accent: str
    sentence: str
    prosody: Prosody

    @property
    def speaker(self) -> str:
        return f"{self.voice}-{self.accent}"


def synthesiser_version() -> str:
    """Version of praat-parselmouth, which contains Praat and espeak; the bytes depend on it."""
    try:
        return importlib.metadata.version("praat-parselmouth")
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            "the synthetic corpus needs a speech synthesiser that is not installed",
            expected="the package praat-parselmouth (GPL-3, hence an extra)",
            fix="pip install 'esn-dist[quickstart]'",
        ) from None


def draw_speech(utterance: SpeechKey, seed: int) -> Draw:
    """Voice, accent, sentence and jittered prosody of `utterance`; drawn from a hash of (DRAWS, seed, id)."""
    random = _random("prosody", utterance, seed)
    voices = VOICES[utterance.split]
    voice = voices[random.integers(len(voices))]
    accent = sorted(ACCENTS)[random.integers(len(ACCENTS))]
    sentence = SENTENCES[random.integers(len(SENTENCES))]
    return Draw(voice, accent, sentence, _jittered(PROSODY[utterance.emotion], STRENGTH[utterance.split], random))


def synthesise(utterance: SpeechKey, seed: int) -> npt.NDArray[np.int16]:
    """The utterance as 16-bit samples at 16 kHz, in its acoustic condition."""
    drawn = draw_speech(utterance, seed)
    random = _random("acoustics", utterance, seed)
    voice = _trimmed(_espeak(drawn))
    voice = tilt(voice, drawn.prosody.tilt)
    voice = voice * (decibels(SPEECH_LEVEL + drawn.prosody.gain) / level(voice))
    if drawn.prosody.breath is not None:
        voice = voice + _breath(voice, random, drawn.prosody.breath)
    recorded = CONDITIONS[utterance.condition](voice, random)
    return np.round(np.clip(recorded, -1.0, 1.0) * 32767.0).astype(np.int16)


def _random(purpose: str, utterance: SpeechKey, seed: int) -> np.random.Generator:
    return generator("synthetic corpus", DRAWS, purpose, seed, utterance.id)


def _jittered(full: Prosody, strengths: tuple[float, float], random: np.random.Generator) -> Prosody:
    """`full` at a drawn strength (factors scale as powers, dB linearly), each number with a drawn deviation."""
    strength = random.uniform(*strengths)

    def factor(value: float, spread: float) -> float:
        return float(value**strength * np.exp(spread * random.standard_normal()))

    return Prosody(
        pitch=factor(full.pitch, JITTER.pitch),
        pitch_range=factor(full.pitch_range, JITTER.pitch_range),
        rate=factor(full.rate, JITTER.rate),
        gain=full.gain * strength + JITTER.gain * float(random.standard_normal()),
        tilt=full.tilt * strength + JITTER.tilt * float(random.standard_normal()),
        breath=full.breath,
        rising=full.rising,
    )


def _espeak(drawn: Draw) -> Samples:
    praat = _praat()
    prosody = drawn.prosody
    synthesiser = _synthesiser(ACCENTS[drawn.accent], drawn.voice)
    pitch, pitch_range = np.clip((prosody.pitch, prosody.pitch_range), 0.5, 2.0)  # espeak's own limits
    speed = int(np.clip(WORDS_PER_MINUTE * prosody.rate, 80.0, 450.0))
    praat.call(synthesiser, "Speech output settings", SAMPLE_RATE, 0.01, float(pitch), float(pitch_range), speed, "IPA")
    sound = praat.call(synthesiser, "To Sound", drawn.sentence + ("?" if prosody.rising else "."), "no")
    sound = sound[0] if isinstance(sound, list) else sound
    return np.asarray(sound.values[0], dtype=np.float64)


@functools.cache
def _synthesiser(language: str, voice: str) -> Any:
    return _praat().call("Create SpeechSynthesizer", language, voice)


def _praat() -> Any:
    synthesiser_version()
    import parselmouth.praat

    return parselmouth.praat


def _trimmed(samples: Samples) -> Samples:
    """Without espeak's silence at both ends, except a short margin."""
    loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
    return samples[max(loud[0] - MARGIN, 0) : loud[-1] + MARGIN]


def _breath(voice: Samples, random: np.random.Generator, below_voice: float) -> Samples:
    """Noise that follows the loudness of the voice over 20 ms, brighter than it."""
    width = SAMPLE_RATE // 50
    envelope = np.sqrt(np.convolve(voice**2, np.full(width, 1.0 / width), mode="same"))
    noise = tilt(random.standard_normal(len(voice)), 2.0)
    return noise / level(noise) * envelope * decibels(below_voice)
