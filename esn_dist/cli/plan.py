"""`esn-dist plan`: what a sweep would run. Knows no model weights and no GPU."""

from __future__ import annotations

import json

import typer

from esn_dist.cli.options import AsJson, SweepFile


def show_plan(sweep: SweepFile, as_json: AsJson = False) -> None:
    """Show what a sweep would run.

    Lists studies, cells, answers, units and the size of the store. Loads no model and needs no GPU.
    """
    from esn_dist.corpora.index_counts import count_labels
    from esn_dist.models.resolve import local_gate_shapes
    from esn_dist.report.plan import plan_facts, plan_text
    from esn_dist.sweep.forecast import forecast
    from esn_dist.sweep.load import load_sweep

    loaded = load_sweep(sweep)
    facts = forecast(
        loaded, {spec.name: count_labels(spec) for spec in loaded.corpora}, local_gate_shapes(loaded.models)
    )
    typer.echo(json.dumps(plan_facts(facts), indent=1) if as_json else plan_text(facts))
