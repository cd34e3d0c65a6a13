"""The report's further sections as Markdown: tests, published numbers, masks, moves, biases, pools, failures, origin.

Follows what `markdown.markdown` prints. Knows no stores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from esn_dist.analysis.movement import destinations
from esn_dist.analysis.significance import GAP, Verdict
from esn_dist.analysis.trials import emotions_of
from esn_dist.report.agnostic import agnostic_section
from esn_dist.report.csv_tables import Row
from esn_dist.report.findings import Findings
from esn_dist.report.markdown import DASH, number, pipe_table
from esn_dist.report.pairs import pair_section
from esn_dist.report.published import Comparison, inconsistencies
from esn_dist.report.searches import search_section
from esn_dist.report.speakers import speaker_line
from esn_dist.report.tables import condition_title, identification_title

LEVEL = 0.05


def appendix(findings: Findings, rows: dict[str, list[Row]]) -> str:
    """All further sections. `rows` are those of `flat.flat`."""
    parts = [
        *agnostic_section(findings.agnostic),
        *_tests(findings),
        *_published(findings),
        *pair_section(findings.pairs),
    ]
    parts += [*search_section(findings.searches), *_overlap(findings), *_stability(rows["stability"])]
    parts += [
        *_moves(findings),
        *_positions(findings),
        *_pools(findings),
        *_speakers(findings),
        *_failures(findings),
        *_origin(findings),
    ]
    return "\n\n".join(parts) + "\n"


def p_value(p: float | None) -> str:
    """`0.012`, `< 0.001`, or a dash."""
    if p is None:
        return DASH
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def plain(text: str) -> str:
    """Text from outside as one line without markup."""
    return " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")


def _tests(findings: Findings) -> Iterator[str]:
    yield "## Tests of the self–cross gap"
    yield (
        "p: exchange of each item's answers among the source emotions' cells, two-sided, exact unless marked ≈. Holm "
        "and BH (Benjamini–Hochberg) correct within the family that stands above each table. *Assignment*: share of "
        "all assignments of these masks to the emotions with a gap as far from zero, uncorrected."
    )
    gaps: dict[str, list[Verdict]] = {}
    for verdict in findings.verdicts:
        if verdict.question == GAP:
            gaps.setdefault(verdict.family, []).append(verdict)
    for family, verdicts in gaps.items():
        yield f"Family: {family} ({len(verdicts)} tests)"
        yield pipe_table(
            ["Condition", "Gap", "p", "Holm", "BH", "Assignment", "Items"],
            [[condition_title(v.condition), number(v.effect), *_p_values(v), str(v.pairs)] for v in verdicts],
        )
    yield "## McNemar tests against the baseline"
    yield f"Exact, two-sided. How many of each family have p ≤ {LEVEL:g}; each test is in `csv/tests.csv`."
    yield pipe_table(["Family", "Tests", "uncorrected", "Holm", "BH"], list(_counts(findings.verdicts)))


def _p_values(v: Verdict) -> list[str]:
    return [("" if v.exact else "≈ ") + p_value(v.p), *map(p_value, (v.holm, v.bh, v.assignment_p))]


def _counts(verdicts: Sequence[Verdict]) -> Iterator[list[str]]:
    families = dict.fromkeys(v.family for v in verdicts if v.question != GAP)
    for family in families:
        own = [v for v in verdicts if v.family == family]
        found = [[v.p for v in own], [v.holm for v in own], [v.bh for v in own]]
        tested = sum(v.p is not None for v in own)
        yield [family, str(tested), *(str(sum(p is not None and p <= LEVEL for p in column)) for column in found)]


def _published(findings: Findings) -> Iterator[str]:
    yield "## Beside the published numbers"
    if not findings.comparisons:
        yield "Nothing here was measured with a model and corpus of the paper at its fraction and gain."
        return
    yield (
        "Measured − published, for the same model and corpus alone. † marks numbers that are inconsistent in the paper "
        "itself; they stand as printed. The steering gain is not printed there; 0.3 is inferred from its RND columns. "
        "Neither are the masks of Table 2: compared is ConAct at r = 0.5 %. Pools are cut where the paper's seem to be."
    )
    yield pipe_table(
        [
            "Table",
            "Model",
            "Corpus",
            "Intervention",
            "Selector",
            "Readout",
            "Of",
            "Measured",
            "Published",
            "Difference",
        ],
        [
            [str(c.table), c.model, c.corpus, c.intervention, c.selector, c.metric, c.setting, *_beside(c)]
            for c in findings.comparisons
        ],
        texts=7,
    )
    flags = {flag for comparison in findings.comparisons for flag in comparison.flags}
    yield "\n".join(f"- † {e['where']}: {e['explanation']}" for e in inconsistencies() if e["id"] in flags)


def _beside(c: Comparison) -> list[str]:
    measured = number(c.measured, 2) if c.is_change or c.measured is None else f"{c.measured:.2f}"
    return [measured, c.printed + (" †" if c.flags else ""), number(c.difference, 2)]


def _overlap(findings: Findings) -> Iterator[str]:
    yield "## Overlap of masks"
    yield (
        "Jaccard overlap of masks that differ in one thing alone, averaged; in brackets what random masks of the same "
        f"sizes would have. {DASH} = both empty. Each pair is in `csv/overlap.csv`."
    )
    groups: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for model, pairs in findings.related.items():
        for pair in pairs:
            selector = f"{pair.one} / {pair.other}" if pair.between == "selector" else pair.selector
            groups.setdefault((model, pair.between, selector), []).append((pair.jaccard, pair.expected))
    lines = []
    for key, values in groups.items():
        defined = [pair for pair in values if np.isfinite(pair[0])]
        mean = np.mean(defined, axis=0) if defined else None
        lines.append([*key, str(len(values)), DASH if mean is None else f"{mean[0]:.2f} ({mean[1]:.2f})"])
    yield pipe_table(["Model", "Between", "Selector", "Pairs", "Jaccard"], lines, texts=3)


def _stability(rows: Sequence[Row]) -> Iterator[str]:
    if rows:
        yield "## Stability of masks"
        yield "Jaccard overlap with the mask itself over bootstrapped identification sets: mean and 95 % of the draws."
        names = ("selector", "emotion", "neurons")
        lines = [[row["model"], _identified(row), *(str(row[name]) for name in names), *_stable(row)] for row in rows]
        yield pipe_table(
            ["Model", "Masks from", "Selector", "Emotion", "Neurons", "Jaccard", "Pairs of draws"], lines, texts=4
        )


def _identified(row: Row) -> str:
    how = identification_title(row["identification_size"], row["parts"])
    return f"{row['corpus']}{how}, r = {100 * float(row['fraction']):g} %"


def _stable(row: Row) -> list[str]:
    if row["jaccard"] is None:
        return [DASH, DASH]
    return [f"{row['jaccard']:.2f} [{row['low']:.2f}, {row['high']:.2f}]", f"{row['pairwise']:.2f}"]


def _moves(findings: Findings) -> Iterator[str]:
    yield "## Where answers move to"
    yield "Of the answers that changed: how many, and the share that ended at the source emotion, or at no option."
    lines = []
    for (model, corpus), of_place in findings.moves.items():
        for condition, moved in of_place:
            share, names = destinations(moved), list(moved["after"].values)
            flips = moved.values.sum(axis=(1, 2)) - np.trace(moved.values, axis1=1, axis2=2)
            own = [[names.index(e) for e in emotions_of(str(s)) if e in names] for s in moved["source"].values]
            to = [float(share.values[cell, at].sum()) if at else np.nan for cell, at in enumerate(own)]
            lines.append(
                [
                    model,
                    corpus,
                    condition_title(condition),
                    str(int(flips.sum())),
                    _mean(to),
                    _mean(share.values[:, -1].tolist()),
                ]
            )
    yield pipe_table(["Model", "Corpus", "Condition", "Changed", "To the source", "To no option"], lines, texts=3)


def _positions(findings: Findings) -> Iterator[str]:
    yield "## Option-position bias of the unintervened model"
    yield "How often each option number was answered (%), and the chi-square test against equal rates."
    lines = []
    for (model, corpus), found in findings.positions.items():
        base = found.isel(cell=(findings.answers[model, corpus]["intervention"] == "baseline").values).isel(cell=0)
        rates = base["answered"].values / max(1, int(base["answered"].sum()))
        lines.append(
            [model, corpus, " / ".join(f"{100 * rate:.0f}" for rate in rates), p_value(_finite(base["p"].item()))]
        )
    yield pipe_table(["Model", "Corpus", "1 / 2 / 3 / …", "p"], lines, texts=2)


def _pools(findings: Findings) -> Iterator[str]:
    yield "## Identification pools"
    yield "Utterances that the unintervened model answered correctly, and how many of each emotion were used."
    rows = [[r.model, r.corpus, r.emotion, str(r.correct), str(r.used)] for r in findings.pools]
    yield pipe_table(["Model", "Corpus", "Emotion", "Correct", "Used"], rows, texts=3)


def _speakers(findings: Findings) -> Iterator[str]:
    yield "## Speakers"
    yield "\n".join(f"- {plain(speaker_line(found))}" for found in findings.speakers)


def _failures(findings: Findings) -> Iterator[str]:
    yield "## Failures"
    lines = [
        f"- {model} on {corpus}: {left} cells are not finished" for (model, corpus), left in findings.unfinished.items()
    ]
    lines += [f"- {plain(unit)}: {plain(reason)}" for unit, reason in findings.failures.items()]
    yield "\n".join(lines) or "None."


def _origin(findings: Findings) -> Iterator[str]:
    yield "## Origin"
    settings = findings.settings
    drawn = "speakers" if settings.by_speaker else "utterances"
    lines = [f"- Intervals: {settings.draws:,} bootstrap draws over {drawn}, seed {settings.seed}"]
    invalid = "counted as wrong" if settings.invalid_is_wrong else "left out"
    lines.append(f"- Answers that name no option: {invalid}")
    lines += [f"- {name}: weights {facts.get('weights', DASH)}" for name, facts in findings.description.models.items()]
    names = ("started", "finished", "ended", "host", "git", "command")
    for run in findings.provenance:
        said = ", ".join(f"{name} {plain(str(run[name]))}" for name in names if run.get(name))
        lines.append(f"- Run: {said}")
    yield "\n".join(lines)


def _mean(values: Sequence[float]) -> str:
    defined = [value for value in values if np.isfinite(value)]
    return f"{100 * float(np.mean(defined)):.0f} %" if defined else DASH


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
