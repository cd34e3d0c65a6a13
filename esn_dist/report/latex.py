"""A report's tables as LaTeX with booktabs. Renders `document`, and knows nothing of what is reported.

Tables of one caption and one head are set as one, in the paper's manner: a block of lines per model. Numbers have two
decimals at least, as in the paper. All text is escaped.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from esn_dist.report.document import Block, Document, PageFigure, ReportTable, TableCell, Text, display

LEAST_DIGITS = 2
ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", '"': "''",
    "α": r"$\alpha$", "τ": r"$\tau$", "Δ": r"$\Delta$", "−": r"$-$", "–": "--", "×": r"$\times$",
    "†": r"$^\dagger$", "±": r"$\pm$", "≤": r"$\leq$", "≈": r"$\approx$",
}  # fmt: skip
PREAMBLE = r"""\documentclass[10pt]{article}
\usepackage[utf8]{inputenc}
\usepackage[a4paper,landscape,margin=1.5cm]{geometry}
\usepackage{booktabs,graphicx}
\begin{document}
"""


def latex(document: Document) -> str:
    """All tables as one document that compiles by itself; each table can be copied into a paper."""
    sections = (_grouped(_tables(section.blocks)) for section in document.sections)
    pages = ["\n".join(map(_set, groups)) for groups in sections if groups]
    return PREAMBLE + "\\clearpage\n".join(pages) + "\n\\end{document}\n"


def escape(text: str) -> str:
    """`text` as LaTeX; a character that is missing in pdfLaTeX's standard fonts becomes a question mark."""
    return "".join(ESCAPES.get(c, c if (c.isascii() and c.isprintable()) or _accented(c) else "?") for c in text)


def _tables(blocks: Sequence[Block]) -> Iterator[ReportTable]:
    """Those with a caption and lines; details are left out."""
    for block in blocks:
        if isinstance(block, PageFigure):
            yield from _tables(block.instead)
        elif isinstance(block, ReportTable) and block.caption and block.lines and not block.detail:
            yield block


def _grouped(tables: Iterator[ReportTable]) -> list[list[ReportTable]]:
    """Tables of one caption and one head together."""
    groups: dict[tuple[object, ...], list[ReportTable]] = {}
    for table in tables:
        groups.setdefault((table.caption, table.labels, table.groups), []).append(table)
    return list(groups.values())


def _set(tables: Sequence[ReportTable]) -> str:
    """One typeset table of tables that differ in their stubs."""
    first = tables[0]
    stub = [""] if first.stub else []
    labels = len(stub) + len(first.labels)
    columns = sum(len(group.heads) for group in first.groups)
    heads = [*stub, *first.labels, *(head for group in first.groups for head in group.heads)]
    lines = [*_group_heads(first, labels), _row([escape(head) for head in heads])]
    for table in tables:
        lines += [r"\midrule", *_lines(table)]
    body = "\n".join(lines)
    return (
        "\\begin{table}[p]\n\\centering\n"
        f"\\caption{{{escape(first.caption)}}}\n"
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%\n"
        f"\\begin{{tabular}}{{{'l' * labels + 'r' * columns}}}\n\\toprule\n{body}\n"
        "\\bottomrule\n\\end{tabular}}\n\\end{table}\n"
    )


def _group_heads(table: ReportTable, labels: int) -> Iterator[str]:
    """The titles of the column groups, with rules below them; nothing where no group has a title."""
    if not any(group.title for group in table.groups):
        return
    spans, rules, column = [""] * labels, "", labels + 1
    for group in table.groups:
        width = len(group.heads)
        spans.append(f"\\multicolumn{{{width}}}{{c}}{{{escape(group.title)}}}")
        rules += f"\\cmidrule(lr){{{column}-{column + width - 1}}}" if group.title else ""
        column += width
    yield _row(spans)
    yield rules


def _lines(table: ReportTable) -> Iterator[str]:
    """Lines of cells; a label that repeats that of the line above is blank, and so is the stub after the first line."""
    above: list[str] = []
    for number, line in enumerate(table.lines):
        labels = [escape(str(display(cell))) for cell in line[: len(table.labels)]]
        changed = next((i for i, label in enumerate(labels) if above[i : i + 1] != [label]), len(labels) - 1)
        stub = ["" if number else escape(table.stub)] if table.stub else []
        shown = ["" if i < changed else label for i, label in enumerate(labels)]
        yield _row([*stub, *shown, *map(_cell, line[len(table.labels) :])])
        above = labels


def _cell(cell: TableCell) -> str:
    """A number in math mode, its interval in a small font."""
    shown = display(cell, LEAST_DIGITS)
    if isinstance(cell, Text):
        return escape(shown.value)
    interval = f" {{\\tiny {shown.interval}}}" if shown.interval else ""
    spread = f" {escape(shown.spread)}" if shown.spread else ""
    return f"${_math(shown.value)}${interval}{spread}" if shown.value != "–" else "--"


def _math(value: str) -> str:
    """A displayed number inside math mode."""
    return value.replace("%", r"\,\%").replace(" ", "").replace("≈", r"\approx ")


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _accented(character: str) -> bool:
    """Whether it is an ASCII letter with one accent, such as ë."""
    base, *marks = list(unicodedata.normalize("NFD", character))
    return "À" <= character <= "ÿ" and base.isascii() and len(marks) == 1
