"""The whole report as one Markdown text: effects, baselines, margins, and everything that was lost or set aside.

Knows no stores: rows and plain values come in. A dash is an undefined value, never a zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from esn_dist.analysis.bootstrap import Estimate
from esn_dist.analysis.summary import ALL, BaselineRow, EffectRow
from esn_dist.report.tables import (
    EffectTable,
    effect_tables,
    identification_of,
    identification_title,
    intervention_title,
)

DASH = "–"


def markdown(
    rows: Sequence[EffectRow],
    baselines: Sequence[BaselineRow],
    set_aside: Mapping[str, Mapping[str, int]],
    notes: Sequence[str] = (),
    title: str = "Report",
) -> str:
    """The report.

    Args:
        rows: of `analysis.summary.summarise`.
        baselines: of `analysis.summary.baselines`.
        set_aside: corpus → reason → number of utterances that the scan left out.
        notes: what else must be known to read the numbers (a shrunk identification set, a mask below its budget).
        title: first heading.
    """
    sections = [
        f"# {title}",
        "Changes of accuracy against the unintervened model, in percentage points, with 95 % bootstrap intervals over "
        "utterances. What commits to no source emotion (RND, 2-Pass, Mix, Union) has the mean over all emotions; RND "
        f"also ± the seeds' standard deviation. {DASH} = undefined.",
        *(_effects(table) for table in effect_tables(rows)),
        "## Accuracy of the unintervened model (%)",
        *_baselines(baselines),
        "## Option log-probability margin",
        "Change, in nats, of log p(true option) − the largest log p of another option; and the change, in points, of "
        "how often the source emotion is answered on the other emotions' utterances.",
        *(_margins(table) for table in effect_tables(rows)),
        "## Invalid and missing answers",
        "An answer that names no option counts as wrong unless the report was told to leave it out. What was not "
        "written, unreadable or non-finite is no answer: its pairs are left out of every effect.",
        _losses(rows, baselines),
        "## Set aside before the run",
        _set_aside(set_aside),
        *(["## Notes", "\n".join(f"- {note}" for note in notes)] if notes else []),
    ]
    return "\n\n".join(sections) + "\n"


def number(value: float | None, digits: int = 1) -> str:
    """A signed number, or a dash where it is undefined."""
    return DASH if value is None else f"{round(value, digits) + 0.0:+.{digits}f}"  # + 0.0 turns -0.0 into 0.0


def interval(estimate: Estimate, digits: int = 1) -> str:
    """`[-18.0, -8.1]`, or nothing where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"[{number(estimate.low, digits)}, {number(estimate.high, digits)}]"


def heading(table: EffectTable) -> str:
    """`model on corpus, r = 10 %`."""
    where = "all corpora (macro mean)" if table.corpus == ALL else table.corpus
    masks = f", masks from {table.transfer_from}" if table.transfer_from else ""
    identified = identification_title(table.identification_size, table.parts)
    return f"{table.model} on {where}{masks}{identified}, r = {100 * table.fraction:g} %"


def _effects(table: EffectTable) -> str:
    parts = [f"## {heading(table)}"]
    for half in table.halves:
        lines = [[name, *(_cell(value) for value in values)] for name, values in half.effects.items()]
        for column, row in enumerate(half.columns, start=1):
            if row.seeds_sd is not None:
                lines[0][column] += f" ± {row.seeds_sd:.1f}"
        lines.append(["Invalid answers", *(_share(row.invalid_rate) for row in half.columns)])
        parts += [f"### {half.title}", pipe_table(["Acc. Δ", *half.selectors], lines)]
    return "\n\n".join(parts)


def _margins(table: EffectTable) -> str:
    parts = [f"### {heading(table)}"]
    for half in table.halves:
        lines = [[f"{name} (nats)", *(_cell(value, 3) for value in values)] for name, values in half.margins.items()]
        lines.append(["Source emotion answered elsewhere (points)", *map(_cell, half.source_rates)])
        parts.append(pipe_table([half.title, *half.selectors], lines))
    return "\n\n".join(parts)


def _baselines(baselines: Sequence[BaselineRow]) -> list[str]:
    by_model: dict[str, dict[str, dict[str, str]]] = {}
    for row in baselines:
        point, low, high = row.accuracy
        accuracy = DASH if point is None else f"{point:.1f}"
        if low is not None and high is not None:
            accuracy += f" [{low:.1f}, {high:.1f}]"
        if row.emotion == ALL:
            accuracy += f", {_share(row.invalid_rate)} invalid"
        by_model.setdefault(row.model, {}).setdefault(row.corpus, {})[row.emotion] = accuracy
    tables = []
    for model, corpora in by_model.items():
        emotions = list(dict.fromkeys(emotion for accuracies in corpora.values() for emotion in accuracies))
        lines = [[corpus, *(values.get(emotion, DASH) for emotion in emotions)] for corpus, values in corpora.items()]
        tables.append(pipe_table([model, *emotions], lines))
    return tables


def _losses(rows: Sequence[EffectRow], baselines: Sequence[BaselineRow]) -> str:
    """One line per baseline and per condition on a corpus; the macro means would only repeat them."""
    head = ["Model", "Corpus", "Cells", "Invalid", "Not written", "Unreadable", "Non-finite"]
    lines = [
        [row.model, row.corpus, "unintervened", _share(row.invalid_rate), *_counts(row)]
        for row in baselines
        if row.emotion == ALL
    ]
    lines += [
        [row.model, row.corpus, _cells(row), _share(row.invalid_rate), *_counts(row)]
        for row in rows
        if row.corpus != ALL
    ]
    return pipe_table(head, lines, texts=3)


def _cells(row: EffectRow) -> str:
    """`Deactivation, ConAct, r = 10 %, masks from room`."""
    _, transfer, size, parts = identification_of(row)
    condition = row.condition
    masks = f", masks from {transfer}" if condition.source_corpus and transfer else ""
    title = intervention_title(condition.intervention, condition.alpha, condition.tau)
    fraction = f"r = {100 * condition.fraction:g} %"
    return f"{title}, {condition.selector}, {fraction}{masks}{identification_title(size, parts)}"


def _counts(row: EffectRow | BaselineRow) -> list[str]:
    return [str(row.missing.not_written), str(row.missing.unreadable), str(row.missing.non_finite)]


def _set_aside(set_aside: Mapping[str, Mapping[str, int]]) -> str:
    lines = [[corpus, reason, str(count)] for corpus, reasons in set_aside.items() for reason, count in reasons.items()]
    return pipe_table(["Corpus", "Reason", "Utterances"], lines, texts=2) if lines else "Nothing."


def _cell(value: Estimate, digits: int = 1) -> str:
    return f"{number(value.point, digits)} {interval(value, digits)}".rstrip()


def _share(rate: float | None) -> str:
    return DASH if rate is None else f"{100 * rate:.1f} %"


def pipe_table(head: Sequence[str], lines: Iterable[Sequence[str]], *, texts: int = 1) -> str:
    """A table whose first `texts` columns are words, the others right-aligned numbers."""
    ruler = ["---"] * texts + ["---:"] * (len(head) - texts)
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in (head, ruler, *lines)
    )
