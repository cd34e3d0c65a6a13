"""A corpus starts from the paper's numbers; option words can be told apart; a wrong word is told the right one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from esn_dist.errors import UserError
from esn_dist.sweep.corpus_spec import CorpusBase, CorpusSpec
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
    assert spec.type != "synthetic" and spec.path == tmp_path / "x"


def test_a_corpus_s_own_defaults_hold_beside_what_is_given(tmp_path: Path) -> None:
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
    ("text", "said"),
    [
        ("type: meld, path: x, words: {joi: happiness}", ["no emotion 'joi'", "Did you mean 'joy'?"]),
        ("type: meld, path: x, words: {joy: Anger}", ["cannot be told apart"]),
        ("type: meld, path: x, words: {joy: ' '}", ["cannot be told apart"]),
        ("type: meld, path: x, emotions: [joy, joy]", ["'joy' is listed twice"]),
        ("type: meldd, path: x", ["corpora[0].type is 'meldd'", "Did you mean 'meld'?", "msp-podcast"]),
        ("type: iemocap, path: x, excited_as_joy: true", ["unknown key corpora[0].excited_as_joy", "'excited_is_joy'"]),
        ("type: iemocap", ["corpora[0].path is missing"]),
        ("type: manifest, path: x, emotions: [a, b], columns: {emotoin: label}", ["'emotoin'", "'emotion'"]),
        ("type: meld, path: x, limits: {longest: 0}", ["limits.longest", "greater than 0"]),
    ],
)
def test_a_mistake_is_named_with_its_line_and_the_nearest_word(tmp_path: Path, text: str, said: list[str]) -> None:
    with pytest.raises(UserError) as raised:
        corpus(tmp_path, f"name: c, {text}")
    for words in ["sweep.yaml:5: ", *said]:
        assert words in str(raised.value)


def test_every_identity_field_of_a_corpus_reaches_the_store(tmp_path: Path) -> None:
    """What is runtime is where the corpus lies, and nothing else."""
    runtime: set[tuple[str, str]] = set()
    for kind in _kinds(CorpusBase):
        for name, field in kind.model_fields.items():
            assert isinstance(field.json_schema_extra, dict)
            if field.json_schema_extra["class"] == "runtime":
                runtime.add((kind.__name__, name))
    assert {name for _, name in runtime} == {"path"}


def _kinds(base: Any) -> list[Any]:
    return [kind for sub in base.__subclasses__() for kind in (sub, *_kinds(sub))]
