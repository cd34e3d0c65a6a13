"""The synthetic corpus: the same bytes on any number of workers, disjoint voices, and the prosody of the rules."""

from __future__ import annotations

import csv
import hashlib
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile

from esn_dist.corpora.audio import SAMPLE_RATE
from esn_dist.corpora.synthetic import CONDITIONS, SYNTHETIC_EMOTIONS, SYNTHETIC_SPLITS, materialise
from esn_dist.corpora.synthetic.acoustics import level
from esn_dist.corpora.synthetic.block import BLOCK
from esn_dist.corpora.synthetic.rules import PROSODY, VOICES
from esn_dist.corpora.synthetic.speech import SpeechKey, draw_speech
from esn_dist.errors import UserError
from tests.child_processes import child_process

SIZES = {"identification": BLOCK + 2, "evaluation": 3}


def digests(corpus: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(corpus.rglob("*.*"))}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return materialise(tmp_path_factory.mktemp("speech"), "room", SIZES, seed=3, workers=2)


def rows(corpus: Path) -> list[dict[str, str]]:
    with (corpus / "manifest.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_the_number_of_workers_changes_no_byte(corpus: Path, tmp_path: Path) -> None:
    assert digests(materialise(tmp_path, "room", SIZES, seed=3, workers=1)) == digests(corpus)


def test_a_synthesis_that_was_killed_halfway_ends_in_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    call = (
        "from esn_dist.corpora.synthetic import materialise; from pathlib import Path; "
        f"materialise(Path({str(tmp_path)!r}), 'room', {SIZES!r}, 3, 1)"
    )
    with child_process([sys.executable, "-c", call]) as process:
        while not list(tmp_path.rglob("*.wav")):
            assert process.poll() is None
    assert not list(tmp_path.rglob("manifest.csv"))
    assert digests(materialise(tmp_path, "room", SIZES, seed=3, workers=2)) == digests(corpus)


def test_a_larger_corpus_has_the_shared_utterances_in_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    larger = digests(materialise(tmp_path, "room", {"evaluation": 5}, seed=3, workers=2))
    smaller = {name: digest for name, digest in digests(corpus).items() if "evaluation" in name}
    assert smaller.items() <= larger.items()


def test_another_seed_gives_other_speech(corpus: Path, tmp_path: Path) -> None:
    other = digests(materialise(tmp_path, "room", {"evaluation": 1}, seed=4, workers=1))
    assert not set(other.values()) & set(digests(corpus).values())


def test_an_existing_corpus_is_not_synthesised_again(corpus: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*.wav")}
    assert materialise(corpus.parent, "room", SIZES, seed=3, workers=1) == corpus
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*.wav")} == before


def test_every_file_is_mono_16_khz_and_holds_speech_without_clipping(corpus: Path) -> None:
    for row in rows(corpus):
        samples, rate = soundfile.read(corpus / row["path"], dtype="float64", always_2d=True)
        assert (rate, samples.shape[1]) == (SAMPLE_RATE, 1)
        assert 0.5 < len(samples) / rate < 8
        assert level(samples[:, 0]) > 0.003 and np.abs(samples).max() < 1


def test_the_manifest_has_the_requested_number_of_each_emotion_and_split(corpus: Path) -> None:
    counts: defaultdict[tuple[str, str], int] = defaultdict(int)
    for row in rows(corpus):
        counts[row["split"], row["emotion"]] += 1
    assert counts == {(split, emotion): count for split, count in SIZES.items() for emotion in SYNTHETIC_EMOTIONS}


def test_voices_of_development_and_evaluation_are_in_no_other_split() -> None:
    assert set(VOICES) == set(SYNTHETIC_SPLITS)
    assert not set(VOICES["evaluation"]) & {*VOICES["train"], *VOICES["identification"], *VOICES["development"]}
    assert not set(VOICES["development"]) & {*VOICES["train"], *VOICES["identification"]}


def test_drawn_prosody_differs_between_emotions_as_the_rules_say() -> None:
    def mean(emotion: str, name: str) -> float:
        drawn = [draw_speech(SpeechKey("studio", "train", emotion, n), seed=0).prosody for n in range(200)]
        return float(np.mean([getattr(prosody, name) for prosody in drawn]))

    for name in ("pitch", "pitch_range", "rate", "gain", "tilt"):
        expected = sorted(SYNTHETIC_EMOTIONS, key=lambda emotion: getattr(PROSODY[emotion], name))
        lowest, highest = expected[0], expected[-1]
        assert mean(lowest, name) < mean("neutral", name) < mean(highest, name) or "neutral" in (lowest, highest)
        assert mean(lowest, name) < mean(highest, name)


def test_conditions_differ_in_what_they_do_to_the_same_voice() -> None:
    speech = np.sin(np.arange(SAMPLE_RATE) * 0.1) * 0.1 + 0.05 * np.sin(np.arange(SAMPLE_RATE) * 2.5)
    recorded = {name: condition(speech, np.random.default_rng(1)) for name, condition in CONDITIONS.items()}
    power = {name: np.abs(np.fft.rfft(samples)) ** 2 for name, samples in recorded.items()}
    hertz = np.fft.rfftfreq(SAMPLE_RATE, 1 / SAMPLE_RATE)
    above = {name: spectrum[hertz > 4000].sum() / spectrum.sum() for name, spectrum in power.items()}
    assert above["phone"] < above["studio"] / 10
    assert not np.allclose(recorded["room"], recorded["studio"], atol=1e-3)


@pytest.mark.parametrize(
    ("condition", "sizes", "hint"),
    [
        ("studo", {"evaluation": 1}, "Did you mean 'studio'?"),
        ("studio", {"evaluaton": 1}, "Did you mean 'evaluation'?"),
    ],
)
def test_a_misspelt_condition_or_split_is_named_with_the_nearest(
    tmp_path: Path, condition: str, sizes: dict[str, int], hint: str
) -> None:
    with pytest.raises(UserError, match=hint):
        materialise(tmp_path, condition, sizes, seed=0, workers=1)
