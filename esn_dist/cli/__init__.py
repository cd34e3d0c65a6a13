"""The commands: `esn-dist plan | corpora | run | status | report | doctor | power | masks export`.

A light install (no torch, no Ray) offers all but `run` and `doctor`, which say what to install. Heavy packages are
imported inside the command that needs them, so that `plan` answers at once.
"""

from __future__ import annotations

import typer

from esn_dist.cli.corpora import survey_corpora
from esn_dist.cli.doctor import check_model
from esn_dist.cli.exit_codes import EPILOG, with_exit_codes
from esn_dist.cli.log_output import print_warnings
from esn_dist.cli.masks import export_masks
from esn_dist.cli.plan import show_plan
from esn_dist.cli.power import show_power
from esn_dist.cli.report import print_report
from esn_dist.cli.run import run_sweep
from esn_dist.cli.status import show_status

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, epilog=EPILOG,
    help="Find emotion-sensitive neurons in audio-language models and test them by intervention.",
)  # fmt: skip
masks = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Export the masks of a sweep.", epilog=EPILOG)

app.command("plan", epilog=EPILOG)(with_exit_codes(show_plan))
app.command("corpora", epilog=EPILOG)(with_exit_codes(survey_corpora))
app.command("run", epilog=EPILOG)(with_exit_codes(run_sweep))
app.command("status", epilog=EPILOG)(with_exit_codes(show_status))
app.command("report", epilog=EPILOG)(with_exit_codes(print_report))
app.command("doctor", epilog=EPILOG)(with_exit_codes(check_model))
app.command("power", epilog=EPILOG)(with_exit_codes(show_power))
masks.command("export", epilog=EPILOG)(with_exit_codes(export_masks))
app.add_typer(masks, name="masks")


def main() -> None:
    """Entry point of the console script."""
    print_warnings()
    app()
