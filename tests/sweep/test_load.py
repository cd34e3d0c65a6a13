"""A mistake in a sweep's YAML is named with its file, line, the allowed values and the nearest match."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from esn_dist.errors import UserError
from esn_dist.sweep.corpus_types import CORPUS_TYPES
from esn_dist.sweep.load import load_sweep
from esn_dist.sweep.spec import Sweep

GOOD = """\
name: test
seed: 1
models: [tiny-qwen2.5-omni]
corpora:
  - name: studio
    type: synthetic
    condition: studio
    emotions: [anger, joy]
  - name: mine
    type: manifest
    path: data/mine.csv
    emotions: [anger, joy]
studies:
  one:
    selectors: [MAD, ConAct]
    fractions: 0.5 %
    interventions: [deactivate, {type: steer, alpha: 0.3}]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "sweep.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("good", "bad", "words"),
    [
        ("ConAct", "ConAkt", [":15: ", "'ConAkt'", "Did you mean 'ConAct'?", "RND, LAP, LAPE, MAD, ConAct"]),
        ("0.5 %", "120 %", [":16: ", "less than or equal to 1"]),
        ("0.5 %", "0", [":16: ", "greater than 0"]),
        ("0.5 %", "many", [":16: ", "'many' is not a fraction"]),
        ("tiny-qwen2.5-omni", "tiny-qwen2.5-omny", [":3: ", "Did you mean 'tiny-qwen2.5-omni'?"]),
        ("condition: studio", "condition: studyo", [":7: ", "Did you mean 'studio'?", "studio, room, phone"]),
        ("name: mine", "name: studio", [":9: ", "a second entry of corpora is named 'studio'"]),
        ("fractions", "fraction", [":16: ", "unknown key studies.one.fraction", "Did you mean 'fractions'?"]),
        ("alpha: 0.3", "alpha: 0", [":17: ", "neither 0 (the baseline)"]),
        ("type: steer", "type: ster", [":17: ", "Did you mean 'steer'?", "mix, union, co-deactivate"]),
        ("[MAD, ConAct]", "[MAD]\n    sources: [studio+min]", [":16: ", "Did you mean 'mine'?"]),
        ("seed: 1\n", "", ["seed is missing"]),
        ("seed: 1\n", "seed: 1\nseed: 2\n", [":3: ", "'seed' is given twice"]),
        ("path: data/mine.csv\n    ", "", [":9: ", "path is missing"]),
        ("name: test", "name: [", ["not YAML"]),
        ("    selectors:", "    corpora: [studoi]\n    selectors:", [":15: ", "Did you mean 'studio'?"]),
    ],
)
def test_a_mistake_is_named_with_line_and_nearest_match(tmp_path: Path, good: str, bad: str, words: list[str]) -> None:
    assert good in GOOD
    with pytest.raises(UserError) as raised:
        load_sweep(write(tmp_path, GOOD.replace(good, bad, 1)))
    for part in ["sweep.yaml", *words]:
        assert part in str(raised.value)


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="2 mistakes") as raised:
        load_sweep(write(tmp_path, GOOD.replace("MAD", "MAT").replace("0.5 %", "2")))
    assert ":15: " in str(raised.value)
    assert ":16: " in str(raised.value)


def test_a_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    with pytest.raises(UserError, match=r"Did you mean 'sweep\.yaml'"):
        load_sweep(tmp_path / "sweeep.yaml")


def test_paths_are_relative_to_the_file_not_to_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "configs").mkdir()
    monkeypatch.chdir("/")
    sweep = load_sweep(write(tmp_path / "configs", GOOD))
    assert sweep.store == tmp_path / "store" / "test"
    assert sweep.corpora[1].type == "manifest"
    assert sweep.corpora[1].paths == (tmp_path / "configs" / "data" / "mine.csv",)


def test_every_field_is_identity_or_runtime() -> None:
    unclassed = [
        f"{model.__name__}.{name}"
        for root in (Sweep, *(entry.spec for entry in CORPUS_TYPES.values()))
        for model in specs(root)
        for name, field in model.model_fields.items()
        if not isinstance(field.json_schema_extra, dict)
        or field.json_schema_extra.get("class") not in ("identity", "runtime")
    ]
    assert not unclassed


def specs(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every spec class reachable from `annotation`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from specs(field.annotation)
    for argument in get_args(annotation):
        yield from specs(argument)


def test_the_quickstart_is_a_good_sweep() -> None:
    sweep = load_sweep(Path(__file__).parents[2] / "configs" / "quickstart.yaml")
    assert [corpus.name for corpus in sweep.corpora] == ["studio", "room", "phone"]
