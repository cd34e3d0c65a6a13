"""The tables that define the synthetic corpus: sentences, voices, and the prosody of each emotion.

Knows neither the synthesiser nor files. Any edit of a table must raise `RECIPE`, which enters every folder name.

Directions of change follow table 1 of M. Schröder, "Emotional Speech Synthesis: A Review", Eurospeech 2001,
pp. 561-564, which lists one tested rule set per emotion (F0 = fundamental frequency, st = semitones):

- joy, Burkhardt & Sendlmeier: F0 +50 %, range +100 %, tempo +30 %, modal or tense voice
- anger, Murray & Arnott: F0 +10 Hz, range +9 st, tempo +30 words/min, loudness +6 dB, laryngealised voice
- sadness, Cahn (scale -10..+10): F0 0 with reference line -1, range -5, tempo -10, loudness -5, breathiness +10,
  brilliance -9
- surprise, Cahn: F0 0, range +8, steeply rising contour +10, tempo +4, loudness +5, brilliance -3

Where the table gives physical units they are taken as full strength, or less (an utterance shows its emotion at a drawn
strength); where it gives steps of Cahn's scale the magnitudes are ours, and so are tense voice as a flatter and
"brilliance" as a steeper or flatter spectrum. Formant shifts, laryngealisation, pauses and precision of articulation
are not rendered.
"""

from __future__ import annotations

from dataclasses import dataclass

RECIPE = 2
DRAWS = 1  # enters every seed; raised only to change everything that is drawn


@dataclass(frozen=True, slots=True)
class Prosody:
    """Change against neutral speech at full strength.

    pitch, pitch_range, rate: factors. gain: dB. tilt: dB per octave around 1 kHz. breath: breath noise, dB relative to
    the voice (None: no added breath). rising: the sentence ends in espeak's rising contour.
    """

    pitch: float = 1.0
    pitch_range: float = 1.0
    rate: float = 1.0
    gain: float = 0.0
    tilt: float = 0.0
    breath: float | None = None
    rising: bool = False


PROSODY = {
    "anger": Prosody(pitch=1.08, pitch_range=1.6, rate=1.17, gain=6.0, tilt=2.5),
    "joy": Prosody(pitch=1.4, pitch_range=2.0, rate=1.2, gain=1.0, tilt=0.5),
    "neutral": Prosody(),
    "sadness": Prosody(pitch=0.97, pitch_range=0.5, rate=0.78, gain=-5.0, tilt=-2.5, breath=-16.0),
    "surprise": Prosody(pitch=1.05, pitch_range=1.8, rate=1.07, gain=4.0, tilt=-0.8, rising=True),
}


@dataclass(frozen=True, slots=True)
class Jitter:
    """Spread between utterances of one emotion: standard deviations (of logarithms where the number is a factor)."""

    pitch: float = 0.07
    pitch_range: float = 0.18
    rate: float = 0.07
    gain: float = 2.5
    tilt: float = 1.0


JITTER = Jitter()
# Strength of an utterance's emotion, drawn uniformly. Training includes weak emotions as augmentation; at that spread
# the model answers 57 % of new voices correctly, at full strength 66 % (development voices, docs/log.md).
FULL = (0.95, 1.25)
STRENGTH = {"train": (0.55, 1.15), "identification": FULL, "development": FULL, "evaluation": FULL}
ACCENTS = {"gb": "English (Great Britain)", "us": "English (America)"}
# No voice variant is in two splits, except that `identification` has the voices of `train` in other utterances.
_TRAIN = (
    *("Female1", "Female2", "Female3", "Annie", "Auntie"),
    *("Male1", "Male2", "Male3", "Male4", "Boris", "Andy", "Mario", "Quincy", "Lee"),
)
VOICES = {
    "train": _TRAIN,
    "identification": _TRAIN,
    "development": ("Female4", "Steph", "Male5", "Denis", "Rob"),
    "evaluation": ("Female5", "Linda", "Male6", "Male7", "Robert"),
}
SENTENCES = (
    "The bus leaves at nine",
    "The keys are on the table",
    "She is in the kitchen",
    "They moved the meeting",
    "He put it in the drawer",
    "The door is open",
    "We are going to the station",
    "The letter came today",
    "It is seven o'clock",
    "The paper is on the desk",
    "My brother called me",
    "The shop closes at six",
    "I left it in the car",
    "You can see the garden",
    "The train is on platform two",
    "They live in the city",
    "The water is in the bottle",
    "He works at the hospital",
    "We had lunch at noon",
    "The window faces the road",
    "She parked near the school",
    "The book has a blue cover",
    "There are ten of them",
    "I will be there on Monday",
    "The office is upstairs",
    "He took the morning flight",
    "They painted the wall white",
    "The lamp is by the sofa",
    "We walked along the river",
    "The class begins at eight",
    "She wrote it on a card",
    "The box is under the bed",
    "You gave it to the teacher",
    "The phone was in my bag",
    "They are waiting outside",
    "He bought bread and milk",
)
