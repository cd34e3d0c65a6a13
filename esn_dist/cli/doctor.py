"""`esn-dist doctor`: whether a model is supported, from its files and configuration. Needs torch."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from esn_dist.cli.exit_codes import missing_package
from esn_dist.cli.options import AsJson


def check_model(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A registered name, folder, hub id or model type.")],
    deep: Annotated[
        bool, typer.Option("--deep", help="Load the model too, and compare it with slow references.")
    ] = False,
    sparse_gates: Annotated[
        bool,
        typer.Option(
            "--sparse-gates", help="Accept sparse gates (set to zero by a top-k), like `sparse_gates` in a sweep."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check whether a model is supported.

    Shows gates, parameters and memory. For a folder, it also checks files and tensor shapes.

    Example: esn-dist doctor qwen2_audio
    """
    try:
        from esn_dist.inference.selfcheck import self_check
        from esn_dist.models.doctor import diagnose, doctor_text
    except ModuleNotFoundError as error:
        raise missing_package(error, "inspect models") from None
    facts = diagnose(model, sparse_gates)
    if deep and facts["supported"]:
        facts["deep"] = self_check(model)
    typer.echo(json.dumps(facts, indent=1) if as_json else doctor_text(facts))
    raise typer.Exit(int(not facts["supported"] or not all(facts["deep"].values())))
