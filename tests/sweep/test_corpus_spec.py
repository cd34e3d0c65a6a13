"""A corpus has the paper's numbers by default; option words are distinct; an error suggests the nearest word."""

from __future__ import annotations

from pathlib import Path

import pytest

from esn_dist.errors import UserError
from esn_dist.sweep.corpus_spec import CorpusSpec
from esn_dist.sweep.corpus_types import CORPUS_TYPES
from esn_dist.sweep.load import load_sweep

SWEEP = """\
name: test
seed: 1
models: [tiny-qwen2.5-omni]
corpora:
  - {CORPUS}
studies:
  one: {interventions: [deactivate]}
"""


def corpus(folder: Path, text: str) -> CorpusSpec:
    path = folder / "sweep.yaml"
    path.write_text(SWEEP.replace("CORPUS", text), encoding="utf-8")
    return load_sweep(path).corpora[0]


@pytest.mark.parametrize(
    ("type", "emotions", "evaluation", "cap"),
    [
        ("iemocap", "anger frustration joy neutral sadness", 200, 500),
        ("meld", "anger joy neutral sadness surprise", 200, 500),
        ("msp-podcast", "anger joy neutral sadness surprise", 500, 1000),
    ],
)
def test_defaults_are_table_4(tmp_path: Path, type: str, emotions: str, evaluation: int, cap: int) -> None:
    spec = corpus(tmp_path, f"name: c, type: {type}, path: x")
    assert spec.emotions == spec.options == tuple(emotions.split())
    assert (spec.evaluation.per_emotion, spec.identification.cap) == (evaluation, cap)
    assert spec.paths == (tmp_path / "x",)


def test_a_corpus_s_own_defaults_hold_next_to_what_is_given(tmp_path: Path) -> None:
    spec = corpus(tmp_path, "name: c, type: msp-podcast, path: x, evaluation: {splits: [Test2]}")
    assert (spec.evaluation.per_emotion, spec.evaluation.splits) == (500, ("Test2",))
    assert (spec.identification.cap, spec.identification.splits) == (1000, ("Train",))
    everywhere = corpus(tmp_path, "name: c, type: msp-podcast, path: x, identification: {splits: null}")
    assert everywhere.identification.splits is None
    assert everywhere.identification.cap == 1000


def test_option_words_are_shown_in_the_place_of_their_emotions(tmp_path: Path) -> None:
    spec = corpus(tmp_path, "name: c, type: meld, path: x, words: {joy: happiness, sadness: sad}")
    assert spec.options == ("anger", "happiness", "neutral", "sad", "surprise")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type: meld, path: x, words: {joi: happiness}", ["no emotion 'joi'", "Did you mean 'joy'?"]),
        ("type: meld, path: x, words: {joy: Anger}", ["cannot be told apart"]),
        ("type: meld, path: x, words: {joy: ' '}", ["cannot be told apart"]),
        ("type: meld, path: x, emotions: [joy, joy]", ["'joy' is listed twice"]),
        ("type: meldd, path: x", ["unknown corpus type 'meldd'", "Did you mean 'meld'?", "msp-podcast"]),
        ("type: iemocap, path: x, excited_as_joy: true", ["unknown key corpora[0].excited_as_joy", "'excited_is_joy'"]),
        ("type: iemocap", ["corpora[0].path is missing"]),
        ("type: manifest, path: x, emotions: [a, b], columns: {emotoin: label}", ["'emotoin'", "'emotion'"]),
        ("type: meld, path: x, limits: {longest: 0}", ["limits.longest", "greater than 0"]),
    ],
)
def test_a_mistake_is_named_with_its_line_and_the_nearest_word(tmp_path: Path, text: str, expected: list[str]) -> None:
    with pytest.raises(UserError) as raised:
        corpus(tmp_path, f"name: c, {text}")
    for words in ["sweep.yaml:5: ", *expected]:
        assert words in str(raised.value)


def test_every_identity_field_of_a_corpus_reaches_the_store(tmp_path: Path) -> None:
    """Where the corpus is, is runtime; everything else is identity."""
    runtime: set[str] = set()
    for entry in CORPUS_TYPES.values():
        for name, field in entry.spec.model_fields.items():
            assert isinstance(field.json_schema_extra, dict)
            if field.json_schema_extra["class"] == "runtime":
                runtime.add(name)
    assert runtime == {"path"}
