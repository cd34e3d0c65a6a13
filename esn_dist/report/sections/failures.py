"""What did not finish: failed units with their reasons, and cells that are left out."""

from __future__ import annotations

from esn_dist.report.document import Block, Count, Paragraph, Section, TableLine, table
from esn_dist.report.results import Results
from esn_dist.store.folder import StoreFolder
from esn_dist.store.run_log import RunLog


def failure_section(results: Results) -> Section:
    """Failed units and unfinished cells."""
    failed = failed_units(results.folder)
    units = [[unit, reason] for unit, reason in failed.items()]
    cells: list[TableLine] = [[model, corpus, Count(count)] for (model, corpus), count in results.unfinished.items()]
    blocks: list[Block] = []
    if units:
        blocks.append(table(("Failed unit", "Reason"), (), units))
    if cells:
        blocks.append(table(("Model", "Corpus"), ("Unfinished cells, left out",), cells))
    csv = {"failures": [{"unit": unit, "reason": reason} for unit, reason in failed.items()]}
    return Section("failures", "Failures", tuple(blocks) or (Paragraph("None."),), csv)


def failed_units(folder: StoreFolder) -> dict[str, str]:
    """Reason by model and unit."""
    states = RunLog(folder).states().items()
    return {f"{model} {unit}": reason for model, state in states for unit, reason in state.failed.items()}
