"""`esn-dist power`: how many utterances an effect needs. Knows no model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from esn_dist.cli.options import AsJson


def show_power(
    effect: Annotated[float, typer.Option(help="Change of accuracy to detect, in percentage points, e.g. -2.")],
    flipped: Annotated[
        float | None, typer.Option(help="Share of answers that flip between right and wrong, e.g. 0.1.")
    ] = None,
    store: Annotated[Path | None, typer.Option(help="Take these shares from the finished cells of this store.")] = None,
    target: Annotated[float, typer.Option(help="Statistical power.")] = 0.8,
    level: Annotated[float, typer.Option(help="Significance level of the test.")] = 0.05,
    tests: Annotated[int, typer.Option(min=1, help="Size of the family of tests (Bonferroni).")] = 1,
    as_json: AsJson = False,
) -> None:
    """Show how many utterances an effect needs.

    Computes the power of the exact McNemar test.

    Example: esn-dist power --effect -2 --flipped 0.1
    """
    from esn_dist.report.power import power_rows, power_text

    rows = power_rows(effect, flipped, store, target=target, level=level / tests)
    typer.echo(json.dumps(rows, indent=1) if as_json else power_text(rows, effect, target, level, tests))
