"""Draws what `esn-dist run` prints at its end as an SVG: the picture in the README.

python benchmarks/picture.py store/quickstart docs/quickstart.svg
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import typer
from rich.console import Console

from esn_dist.analysis.measured_effects import measure
from esn_dist.analysis.summary import baseline_rows, effect_rows
from esn_dist.report.results import finished_answers
from esn_dist.report.terminal import run_summary
from esn_dist.store.folder import StoreFolder


def main(store: Path, svg: Path) -> None:
    """Draw the summary of `store` into the file `svg`."""
    measured = [measure(answers) for answers in finished_answers(StoreFolder(store))[0].values()]
    console = Console(record=True, width=80, file=io.StringIO())
    console.print(run_summary(effect_rows(measured), baseline_rows(measured)))
    drawing = console.export_svg(title="esn-dist run configs/quickstart.yaml")
    # Without rich's web fonts: a picture should ask nothing of the network.
    svg.write_text(re.sub(r"@font-face \{.*?\}", "", drawing, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
