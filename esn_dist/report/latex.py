"""The paper's tables as LaTeX with booktabs: a line per model and readout, deactivation left and steering right.

Knows no stores and no files: rows in, text out. Whatever comes from a sweep is escaped.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from esn_dist.analysis.bootstrap import Estimate
from esn_dist.analysis.summary import ALL, BaselineRow
from esn_dist.report.agnostic import AgnosticTable
from esn_dist.report.findings import Findings
from esn_dist.report.published import Comparison, Pool
from esn_dist.report.tables import EffectTable, Half, effect_tables, identification_title

DASH = "--"
ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", '"': "''",
    "α": r"$\alpha$", "τ": r"$\tau$", "Δ": r"$\Delta$", "−": r"$-$", "–": "--", "×": r"$\times$",
    "†": r"$^\dagger$",
}  # fmt: skip
PREAMBLE = r"""\documentclass[10pt]{article}
\usepackage[utf8]{inputenc}
\usepackage[a4paper,landscape,margin=1.5cm]{geometry}
\usepackage{booktabs,graphicx}
\begin{document}
"""


def document(findings: Findings) -> str:
    """All tables as one document that compiles by itself; each table can be copied into a paper as it stands."""
    return PREAMBLE + tables(findings) + "\n\\end{document}\n"


def tables(findings: Findings) -> str:
    """All tables; they need the packages booktabs and graphicx."""
    parts = [effects(group) for group in _beside([p for t in effect_tables(findings.rows) for p in _split(t)])]
    parts += [agnostic(table) for table in findings.agnostic]
    parts += [accuracies(findings.baselines), pools(findings.pools)]
    if findings.comparisons:
        parts.append(published(findings.comparisons))
    return "\n".join(part for part in parts if part)


def effects(group: Sequence[EffectTable]) -> str:
    """Table 1 (or 5–10): all models on one corpus at one fraction."""
    halves = max((table.halves for table in group), key=len)
    heads = ["", *(f"\\multicolumn{{{len(half.columns)}}}{{c}}{{{escape(half.title)}}}" for half in halves)]
    lines = [" & ".join(["", *heads]) + r" \\", _rules(halves)]
    lines.append(
        " & ".join(["LALM", r"Acc.\,$\Delta$", *(escape(s) for half in halves for s in half.selectors)]) + r" \\"
    )
    for table in group:
        lines.append(r"\midrule")
        for number, readout in enumerate(table.halves[0].effects):
            name = "" if number else escape(table.model)
            values = [_value(value) for half in table.halves for value in half.effects[readout]]
            lines.append(" & ".join([name, escape(readout), *values]) + r" \\")
        invalid = [_percent(row.invalid_rate) for half in table.halves for row in half.columns]
        lines.append(" & ".join(["", r"Invalid answers (\%)", *invalid]) + r" \\")
    corpus = "all corpora (macro mean)" if group[0].corpus == ALL else group[0].corpus
    masks = f", masks from {group[0].transfer_from}" if group[0].transfer_from else ""
    masks += identification_title(group[0].identification_size, group[0].parts)
    caption = (
        f"Change of accuracy in percentage points on {corpus}{masks}, r = {100 * group[0].fraction:g} %, with 95 % "
        "bootstrap intervals over utterances. RND: mean over emotions and seeds."
    )
    return _table(caption, "ll" + "r" * sum(len(half.columns) for half in halves), lines)


def agnostic(table: AgnosticTable) -> str:
    """Table 2: corpora, in them models, in them whose masks; the interventions side by side, gain after gain."""
    rules, spans, column = [], [], 5
    for alpha, heads in table.gains.items():
        spans.append(f"\\multicolumn{{{len(heads)}}}{{c}}{{{escape(f'α = {alpha:g}')}}}")
        rules.append(f"\\cmidrule(lr){{{column}-{column + len(heads) - 1}}}")
        column += len(heads)
    heads = ["Dataset", "Model", "Masks", "Unmasked", *(name for names in table.gains.values() for name in names)]
    lines = [" & ".join(["", "", "", "", *spans]) + r" \\", "".join(rules), " & ".join(map(escape, heads)) + r" \\"]
    before = ("", "")
    for line in table.lines:
        corpus, model = (
            "" if old == new else escape(new) for old, new in zip(before, (line.corpus, line.model), strict=True)
        )
        lines += [r"\midrule"] * (line.corpus != before[0])
        values = [line.unmasked, *(line.values.get(column) for column in table.columns)]
        lines.append(" & ".join([corpus, model, escape(line.masks), *map(_accuracy, values)]) + r" \\")
        before = line.corpus, line.model
    caption = (
        f"{table.title}. Columns RND: plain steering of random masks; lines RND: random masks in 2-Pass, Mix, Union."
    )
    return _table(caption, "lll" + "r" * (1 + len(table.columns)), lines)


def accuracies(baselines: Sequence[BaselineRow]) -> str:
    """Accuracy of the unintervened models."""
    emotions = list(dict.fromkeys(row.emotion for row in baselines))
    found = {(row.model, row.corpus, row.emotion): row.accuracy.point for row in baselines}
    invalid = {(row.model, row.corpus): row.invalid_rate for row in baselines if row.emotion == ALL}
    lines = [" & ".join(["LALM", "Corpus", *map(escape, emotions), "invalid"]) + r" \\", r"\midrule"]
    for model, corpus in dict.fromkeys((row.model, row.corpus) for row in baselines):
        values = [_number(found.get((model, corpus, emotion)), sign=False) for emotion in emotions]
        share = _percent(invalid.get((model, corpus)))
        lines.append(" & ".join([escape(model), escape(corpus), *values, share]) + r" \\")
    return _table("Accuracy of the unintervened models (%).", "ll" + "r" * (len(emotions) + 1), lines)


def pools(rows: Sequence[Pool]) -> str:
    """Table 4: correctly answered utterances of each emotion, and how many of each were used."""
    if not rows:
        return ""
    emotions = list(dict.fromkeys(row.emotion for row in rows))
    found = {(row.model, row.corpus, row.emotion): row for row in rows}
    lines = [" & ".join(["LALM", "Corpus", *map(escape, emotions), "used of each"]) + r" \\", r"\midrule"]
    for model, corpus in dict.fromkeys((row.model, row.corpus) for row in rows):
        of_place = [found.get((model, corpus, emotion)) for emotion in emotions]
        counts = [DASH if row is None else str(row.correct) for row in of_place]
        used = next(str(row.used) for row in of_place if row)
        lines.append(" & ".join([escape(model), escape(corpus), *counts, used]) + r" \\")
    return _table("Correctly answered identification utterances.", "ll" + "r" * (len(emotions) + 1), lines)


def published(comparisons: Iterable[Comparison]) -> str:
    """Measured beside published; a dagger marks numbers that are flagged as inconsistent in the paper."""
    head = [
        "Table",
        "LALM",
        "Corpus",
        "Intervention",
        "Selector",
        "Readout",
        "of",
        "measured",
        "published",
        "difference",
    ]
    lines = [" & ".join(head) + r" \\", r"\midrule"]
    for c in comparisons:
        words = [str(c.table), *map(escape, (c.model, c.corpus, c.intervention, c.selector, c.metric, c.setting))]
        printed = escape(c.printed) + (r"$^\dagger$" if c.flags else "")
        lines.append(
            " & ".join(
                [*words, _value(Estimate(c.measured, c.low, c.high), sign=c.is_change), printed, _number(c.difference)]
            )
            + r" \\"
        )
    return _table("Measured and published.", "rllllllrrr", lines)


def escape(text: str) -> str:
    """`text` as LaTeX; a character that pdfLaTeX's standard fonts lack becomes a question mark."""
    return "".join(ESCAPES.get(c, c if (c.isascii() and c.isprintable()) or _accented(c) else "?") for c in text)


def _accented(character: str) -> bool:
    """Whether it is an ASCII letter with one accent, such as ë."""
    base, *marks = list(unicodedata.normalize("NFD", character))
    return "À" <= character <= "ÿ" and base.isascii() and len(marks) == 1


def _split(table: EffectTable) -> Iterator[EffectTable]:
    """What has source emotions (Table 1) and what commits to none (Table 2), each as a table of its own."""
    for agnostic in (False, True):
        if halves := tuple(half for half in table.halves if half.agnostic is agnostic):
            yield replace(table, halves=halves)


def _beside(all_tables: Sequence[EffectTable]) -> list[list[EffectTable]]:
    """Models of one corpus, fraction and source in one table, where they have the same columns."""
    groups: dict[tuple[object, ...], list[EffectTable]] = {}
    for table in all_tables:
        columns = tuple((half.title, half.selectors) for half in table.halves)
        groups.setdefault(
            (table.corpus, table.fraction, table.transfer_from, table.identification_size, table.parts, columns), []
        ).append(table)
    return list(groups.values())


def _rules(halves: Sequence[Half]) -> str:
    rules, column = [], 3
    for half in halves:
        rules.append(f"\\cmidrule(lr){{{column}-{column + len(half.columns) - 1}}}")
        column += len(half.columns)
    return "".join(rules)


def _value(value: Estimate, *, sign: bool = True) -> str:
    low, high = (_number(bound, sign=sign) for bound in (value.low, value.high))
    return _number(value.point, sign=sign) + (f" {{\\tiny [{low}, {high}]}}" if value.low is not None else "")


def _accuracy(value: Estimate | str | None) -> str:
    if value is None or isinstance(value, str):
        return escape(value or "–")
    return _value(value, sign=False)


def _percent(share: float | None) -> str:
    return DASH if share is None else f"${100 * share:.1f}$"


def _number(value: float | None, *, sign: bool = True) -> str:
    return DASH if value is None else f"${round(value, 2) + 0.0:{'+' if sign else ''}.2f}$"


def _table(caption: str, columns: str, lines: Sequence[str]) -> str:
    body = "\n".join(lines)
    return (
        "\\begin{table}[p]\n\\centering\n"
        f"\\caption{{{escape(caption)}}}\n"
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%\n"
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{body}\n\\bottomrule\n\\end{{tabular}}}}\n\\end{{table}}\n"
    )
