"""`esn-dist report STORE --out FOLDER`: everything of a report as files.

report.html   one self-contained page        report.md    the same as text
report.tex    the tables, compiles by itself csv/         one file per subject
figures/      each as PNG, PDF and SVG (needs the extra `report`)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from esn_dist.report.csv_files import csv_files
from esn_dist.report.html_page import html_page
from esn_dist.report.latex import latex
from esn_dist.report.markdown import markdown
from esn_dist.report.results import Results
from esn_dist.report.sections.builders import build_document

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "pdf", "svg")
# Same bytes from the same store: no dates, no random ids.
METADATA = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}


def write_report(results: Results, out: Path) -> list[Path]:
    """Write all files into `out` (created where it is missing, its other files kept); returns them."""
    document = build_document(results)
    (out / "csv").mkdir(parents=True, exist_ok=True)
    texts = {"report.md": markdown(document), "report.tex": latex(document), "report.html": html_page(document)}
    texts |= {f"csv/{name}.csv": content for name, content in csv_files(document).items()}
    written = [_write(out / name, content) for name, content in texts.items()]
    return written + (_write_figures(results, out / "figures") if find_spec("matplotlib") else [])


def _write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8", newline="")
    return path


def _write_figures(results: Results, folder: Path) -> list[Path]:
    from esn_dist.report.figures import figures

    folder.mkdir(exist_ok=True)
    return [path for name, figure in figures(results) for path in write_figure(figure, folder / _file_name(name))]


def write_figure(figure: Figure, path: Path) -> list[Path]:
    """Write one figure in every format; `path` has no suffix."""
    import matplotlib

    # Layout once, not once per format.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    written = [path.with_name(f"{path.name}.{suffix}") for suffix in FORMATS]
    with matplotlib.rc_context({"svg.hashsalt": "esn-dist", "svg.fonttype": "none"}):
        for suffix, target in zip(FORMATS, written, strict=True):
            figure.savefig(target, dpi=160, metadata=METADATA[suffix])
    return written


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)


def missing_figures(written: Iterable[Path]) -> str | None:
    """What this install could not write, and how to get it; None where nothing is missing."""
    if any(path.parent.name == "figures" for path in written) or find_spec("matplotlib"):
        return None
    return "no figures: matplotlib is missing; pip install 'esn-dist[report]'"
