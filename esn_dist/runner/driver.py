"""The driver: takes the store's lock, prepares the store, and runs every unit that is missing on a backend's actors.

Interrupt it at any moment and run it again: done-marks say what is finished, and everything else is done again. Results
are a function of the plan, never of the number of actors or of which of them die. Knows no Ray.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress

from esn_dist.runner.loop import RunResult
from esn_dist.runner.model_run import ModelPlacement, RunContext, run_model
from esn_dist.runner.preflight import check_models, devices, replicas
from esn_dist.runner.prepare import prepare_corpus, prepare_root
from esn_dist.runner.progress import ProgressDisplay
from esn_dist.runner.provenance import recorded_provenance
from esn_dist.runner.signals import stop_on_signals
from esn_dist.store.done import remove_partial_files
from esn_dist.store.folder import StoreFolder
from esn_dist.store.lock import Lock
from esn_dist.store.run_log import RunLog
from esn_dist.sweep.plan import plan
from esn_dist.sweep.spec import Sweep
from esn_dist.sweep.study_log import logged_studies
from esn_dist.worker.job import CorpusItems
from esn_dist.worker.protocol import Backend, Session

logger = logging.getLogger(__name__)


def run(
    sweep: Sweep, text: str, backend: Backend, *, actors: int | None = None, progress: ProgressDisplay
) -> RunResult:
    """Run the units of `sweep` that the store does not have yet.

    Args:
        text: the YAML of `sweep`, for the provenance.
        backend: where actors run.
        actors: number per model; default: the sweep's, else one per GPU, else one per CPU core.

    Raises:
        UserError: the sweep cannot run as it is, or another driver holds the store.
    """
    assert sweep.store
    folder = StoreFolder(sweep.store)
    result = RunResult()
    with Lock(folder.backend) as lease, recorded_provenance(folder, text):
        prepare_root(sweep, folder)
        if removed := remove_partial_files(folder, lease):
            logger.info("removed %d files that a killed run left unfinished", removed)
        planned = plan(sweep)
        check_models(sweep, planned)
        log = RunLog(folder)
        log.write_studies(logged_studies(sweep, planned))
        del planned  # it may be large
        requested = actors or sweep.actors
        with backend.session(requested) as session, stop_on_signals(result):
            placements = _place_models(sweep, session, requested)
            corpora = _prepare_corpora(sweep, folder, requested or session.default_actors, progress, result)
            context = RunContext(sweep, corpora, folder, lease, session, progress, log, result)
            for placement in placements:
                run_model(context, placement)
    return result


def _place_models(sweep: Sweep, session: Session, requested: int | None) -> list[ModelPlacement]:
    gpus = session.gpus_per_node()
    device_of = devices(sweep.models, gpus)
    default = requested or session.default_actors
    return [
        ModelPlacement(
            model,
            device_of[model.name],
            replicas(model, gpus) if device_of[model.name] == "cuda" and not requested else default,
        )
        for model in sweep.models
    ]


class _InterruptedPreparation(Exception):
    """A signal came while a corpus was prepared. The next run finds what was prepared so far."""


def _prepare_corpora(
    sweep: Sweep, folder: StoreFolder, workers: int, progress: ProgressDisplay, result: RunResult
) -> dict[str, CorpusItems]:
    """By name; not all of them if a signal asked to stop."""
    corpora = {}
    with suppress(_InterruptedPreparation):
        for spec in sweep.corpora:
            with progress.preparing(f"corpus {spec.name}") as report:
                stoppable = _stoppable(report, result)
                corpora[spec.name] = prepare_corpus(sweep, spec, folder, workers=workers, progress=stoppable)
    return corpora


def _stoppable(report: Callable[[int, int], None], result: RunResult) -> Callable[[int, int], None]:
    """`report`, which raises once a signal has come."""

    def report_or_stop(done: int, total: int) -> None:
        if result.interrupted:
            raise _InterruptedPreparation
        report(done, total)

    return report_or_stop
