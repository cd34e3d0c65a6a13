"""`esn-dist report STORE --out FOLDER`: everything of a report as files.

report.html   one self-contained page        report.md    the same as text
report.tex    the tables, compiles by itself csv/         one file per subject
figures/      each as PNG, PDF and SVG (needs the extra `report`)
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from esn_dist.report.appendix import appendix
from esn_dist.report.csv_tables import Row, flat
from esn_dist.report.findings import Findings
from esn_dist.report.latex import document
from esn_dist.report.markdown import markdown
from esn_dist.report.page import page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "pdf", "svg")
# Same bytes from the same store: no dates, no random ids.
METADATA = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}


def write_report(findings: Findings, out: Path) -> list[Path]:
    """Write all files into `out` (made where it is missing, its other files left alone); returns them."""
    rows = flat(findings)
    out.mkdir(parents=True, exist_ok=True)
    texts = {"report.md": text(findings, rows), "report.tex": document(findings), "report.html": page(findings, rows)}
    written = [_write(out / name, content) for name, content in texts.items()]
    written += [_write_csv(out / "csv" / f"{name}.csv", of_subject) for name, of_subject in rows.items() if of_subject]
    return written + (_write_figures(findings, out / "figures") if find_spec("matplotlib") else [])


def text(findings: Findings, rows: dict[str, list[Row]]) -> str:
    """The whole report as Markdown."""
    set_aside = {name: facts["set_aside"] for name, facts in findings.description.corpora.items()}
    head = markdown(findings.rows, findings.baselines, set_aside, findings.notes, findings.title)
    return head + "\n" + appendix(findings, rows)


def _write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def _write_csv(path: Path, rows: Sequence[Row]) -> Path:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    return path


def _write_figures(findings: Findings, folder: Path) -> list[Path]:
    from esn_dist.report.figures import figures

    folder.mkdir(exist_ok=True)
    return [path for name, figure in figures(findings) for path in write_figure(figure, folder / _file_name(name))]


def write_figure(figure: Figure, path: Path) -> list[Path]:
    """Write one figure in every format; `path` has no suffix."""
    import matplotlib

    # Laid out once, not once per format.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    written = [path.with_name(f"{path.name}.{kind}") for kind in FORMATS]
    with matplotlib.rc_context({"svg.hashsalt": "esn-dist", "svg.fonttype": "none"}):
        for kind, target in zip(FORMATS, written, strict=True):
            figure.savefig(target, dpi=160, metadata=METADATA[kind])
    return written


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)


def missing(written: Iterable[Path]) -> str | None:
    """What this install could not write, and how to get it; None where nothing is missing."""
    if any(path.parent.name == "figures" for path in written) or find_spec("matplotlib"):
        return None
    return "no figures: matplotlib is missing; pip install 'esn-dist[report]'"
