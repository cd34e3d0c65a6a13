"""The paper's Table 2: its columns and lines in its order, the paper's own numbers next to ours, and nobody else's."""

from __future__ import annotations

from typing import Any

import pytest

from esn_dist.analysis.bootstrap import Estimate
from esn_dist.analysis.summary import ALL, EffectRow
from esn_dist.report.agnostic_tables import PUBLISHED, AgnosticTable, agnostic_csv, agnostic_tables
from esn_dist.report.document import Document
from esn_dist.report.latex import latex
from esn_dist.report.markdown import markdown
from esn_dist.report.published import EFFECT_TABLES, published
from esn_dist.report.results import Results
from esn_dist.report.sections.agnostic import agnostic_tables_section
from esn_dist.sweep.interventions import NO_PARAMETERS, InterventionParameters
from tests.report.rows import baseline, changed

EMOTIONS = {name: list(words) for name, words in published()["vocabulary"]["emotions_of_corpus"].items()}
MODELS = ("qwen2.5-omni-7b", "kimi-audio-7b", "audio-flamingo-3")
GAINS = (0.1, 0.3, 1.0)
CONACT = changed(
    model=MODELS[0], corpus="iemocap", selector="ConAct", fraction=0.005, source_corpus="iemocap",
    identification_size=0, accuracy=Estimate(50.0, 48.0, 52.0), invalid_rate=0.025,
)  # fmt: skip
RND: dict[str, Any] = {
    "selector": "RND",
    "source_corpus": "",
    "identification_size": -1,
    "accuracy": Estimate(40.0, 48.0, 52.0),
}
WARM = InterventionParameters.of({"tau": 0.5})
TYPES = (("mix", WARM), ("two-pass", NO_PARAMETERS), ("union", NO_PARAMETERS))
BASELINES = [baseline(m, c, ALL, Estimate(45.0, 43.0, 47.0)) for m in MODELS for c in EFFECT_TABLES]


def rows(model: str = MODELS[0], corpus: str = "iemocap", **values: Any) -> list[EffectRow]:
    """What the study `table2` of configs/paper.yaml gives for one model and corpus."""
    targeted = changed(CONACT, model=model, corpus=corpus, source_corpus=corpus)
    made = [changed(targeted, intervention=t, alpha=a, parameters=p, **values) for a in GAINS for t, p in TYPES]
    made += [changed(row, **RND) for row in made]
    return made + [changed(targeted, intervention="steer", alpha=a, **{**values, **RND}) for a in GAINS]


def tables(rows_of_sweep: list[EffectRow], emotions: Any = EMOTIONS) -> list[AgnosticTable]:
    return agnostic_tables(rows_of_sweep, BASELINES, {}, emotions)


def test_columns_and_lines_have_the_order_of_the_paper() -> None:
    (table,) = tables([row for model in MODELS for corpus in EFFECT_TABLES for row in rows(model, corpus)])
    assert table.title == "Agnostic injection, r = 0.5 %, τ = 0.5: accuracy (%)"
    assert table.gains == {alpha: ["RND", "2-Pass", "Mix", "Union"] for alpha in GAINS}
    assert [(line.corpus, line.masks) for line in table.lines[:6]] == [
        ("iemocap", masks) for _ in range(2) for masks in ("ConAct", "RND", PUBLISHED)
    ]
    assert len(table.lines) == 9 * 3 and {line.model for line in table.lines} == set(MODELS)


def test_every_printed_number_of_the_paper_s_table_is_in_its_place() -> None:
    (table,) = tables([row for model in MODELS for corpus in EFFECT_TABLES for row in rows(model, corpus)])
    lines = [line for line in table.lines if line.masks == PUBLISHED]
    printed: dict[tuple[Any, ...], str] = {
        (x.model, x.corpus, *c): str(v).removesuffix(" †") for x in lines for c, v in x.values.items()
    }
    printed |= {(line.model, line.corpus): str(line.unmasked).removesuffix(" †") for line in lines}
    names = {"rnd": "steer"}
    for entry in published()["table2"]["rows"]:
        key: tuple[Any, ...] = (entry["model"], entry["corpus"])
        if entry["intervention"] != "none":
            type = names.get(entry["intervention"], entry["intervention"])
            key = (*key, entry["alpha"], type, WARM if entry["tau"] else NO_PARAMETERS)
        assert printed.pop(key) == entry["printed"]
    assert not printed


def test_each_selector_has_rnd_s_steering_and_rnd_s_own_interventions_are_a_line_below() -> None:
    (table,) = tables(rows())
    conact, random, _ = table.lines
    heads = [head for heads in table.gains.values() for head in heads]
    measured = dict(zip(heads[:4], (conact.values[c] for c in table.columns[:4]), strict=True))
    assert measured == {"RND": Estimate(40.0, 48.0, 52.0)} | dict.fromkeys(heads[1:4], Estimate(50.0, 48.0, 52.0))
    assert {c.intervention for c in random.values} == {"two-pass", "mix", "union"}
    assert conact.unmasked == random.unmasked == Estimate(45.0, 43.0, 47.0)


@pytest.mark.parametrize(
    ("changed", "emotions"),
    [
        ({"fraction": 0.01}, EMOTIONS), ({"selector": "MAD"}, EMOTIONS), ({"parts": "audio"}, EMOTIONS),
        ({}, {**EMOTIONS, "iemocap": ["anger", "joy"]}),
    ],
)  # fmt: skip
def test_what_the_paper_did_not_do_has_no_published_line(changed: dict[str, Any], emotions: Any) -> None:
    (table,) = tables(rows(**changed), emotions)
    assert [line.masks for line in table.lines] == [changed.get("selector", "ConAct"), "RND"]


def test_several_temperatures_have_columns_titled_with_their_value() -> None:
    warm = [
        changed(row, parameters=InterventionParameters.of({"tau": 2.0}))
        for row in rows()
        if row.condition.intervention == "mix"
    ]
    (table,) = tables([*rows(), *warm])
    assert table.gains[0.1] == ["RND", "2-Pass", "Mix τ = 0.5", "Mix τ = 2", "Union"] and "τ" not in table.title


def test_nothing_agnostic_gives_no_table() -> None:
    steered = [row for row in rows() if row.condition.intervention == "steer"]
    assert tables(steered) == []


def test_markdown_latex_and_csv_have_the_same_numbers() -> None:
    (table,) = tables(rows())
    document = Document("t", (agnostic_tables_section([table]),))
    text, tex = markdown(document), latex(document)
    measured, random, paper = agnostic_csv([table])
    assert (
        measured["two-pass_alpha_0.1"] == 50.0
        and paper["two-pass_alpha_0.1"] == "48.1"
        and random["rnd_alpha_0.1"] is None
    )
    assert "| iemocap | qwen2.5-omni-7b | published | 48.4 | 48.2 | 48.1 | 48.2 | 48.3 |" in text
    assert "| iemocap | qwen2.5-omni-7b | RND | 45.0 [43.0, 47.0] | – | 40.0 [48.0, 52.0] |" in text
    assert "published & 48.4 & 48.2 & 48.1 & 48.2 & 48.3 &" in tex and r"\cmidrule(lr){5-8}\cmidrule(lr){9-12}" in tex
    assert "| Invalid ≤ |" in text and text.count("| 2.5 % |") == 2 and measured["most_invalid"] == 0.025
    assert tex.count("iemocap") == tex.count("qwen2.5-omni-7b") == 1


def test_a_store_s_table_has_the_accuracies_of_its_rows(results: Results) -> None:
    (table,) = agnostic_tables(results.rows, results.baselines, results.registered_models, results.emotions)
    assert [(line.corpus, line.masks) for line in table.lines] == [
        (corpus, masks) for corpus in ("room", "studio") for masks in ("MAD", "ConAct", "RND")
    ]
    row = next(
        r for r in results.rows
        if (r.corpus, r.condition.selector, r.condition.intervention) == ("studio", "ConAct", "two-pass")
        and r.condition.alpha == 0.3
    )  # fmt: skip
    line = next(line for line in table.lines if (line.corpus, line.masks) == ("studio", "ConAct"))
    assert line.values[table.columns[1]] == row.accuracy
