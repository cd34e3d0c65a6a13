"""Before any unit runs: corpora are scanned once, models located, and all arrays of the store created at full shape.

Called under the store's lock. The sets of an existing store are read back and not drawn again. What its arrays depend
on must be unchanged: a difference is refused and shown. Knows no units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from esn_dist.corpora.loader import ProgressCallback, load_corpus
from esn_dist.corpora.scan import scan
from esn_dist.corpora.sets import SetRule
from esn_dist.corpora.utterance import Clip, Exclusion, Utterance
from esn_dist.errors import UserError
from esn_dist.models.download import locate_checkpoint, weights_fingerprint
from esn_dist.models.resolve import adapter_of, dtype_name, gate_shape, model_attributes
from esn_dist.runner.profile import new_profile
from esn_dist.selection.masks import budget
from esn_dist.store.create import add_answers, add_corpus, add_counts, add_masks, add_model, create_root
from esn_dist.store.folder import StoreFolder, corpus_group
from esn_dist.store.maskfile import read_mask_file
from esn_dist.store.read import read_exclusions, read_model, read_utterances
from esn_dist.store.tables import ExclusionTable, UtteranceTable, in_whole_shards
from esn_dist.store.zarr_nodes import has_node
from esn_dist.sweep.corpus_spec import CorpusSpec
from esn_dist.sweep.corpus_types import corpus_identity
from esn_dist.sweep.plan import Plan
from esn_dist.sweep.records import cell_table, mask_table
from esn_dist.sweep.spec import ModelSpec, Sweep
from esn_dist.sweep.units import cells_per_block
from esn_dist.task.prompt import CLOSING, LEAD, option_order
from esn_dist.worker.job import CorpusItems, EngineProfile
from esn_dist.worker.protocol import GpuInfo


def prepare_root(sweep: Sweep, folder: StoreFolder) -> None:
    """Create the store, or refuse one that was begun with another seed or question."""
    question = {"lead": LEAD, "closing": CLOSING, "max_new_tokens": sweep.max_new_tokens}
    create_root(folder, {"sweep": sweep.name, "seed": sweep.seed, "question": question})


def prepare_corpus(
    sweep: Sweep, spec: CorpusSpec, folder: StoreFolder, *, workers: int, progress: ProgressCallback | None = None
) -> CorpusItems:
    """The sets of one corpus: as stored, else drawn by decoding its clips.

    Raises:
        UserError: the corpus cannot be read, is too small, or differs from the stored one.
    """
    assert sweep.cache
    corpus = load_corpus(spec, sweep.cache, workers=workers, progress=progress)
    root = corpus.root
    if has_node(folder, corpus_group(spec.name)):
        tables = (
            read_utterances(folder, spec.name, "evaluation"),
            read_utterances(folder, spec.name, "identification"),
            read_exclusions(folder, spec.name),
        )
    else:
        pool = spec.identification
        sets = scan(
            corpus.utterances, spec.emotions, seed=sweep.seed, corpus=spec.name,
            evaluation=SetRule(spec.evaluation.splits, spec.evaluation.per_emotion),
            identification=SetRule(pool.splits, pool.candidates),
            speaker_disjoint=pool.speaker_disjoint, limits=spec.limits, workers=workers, progress=progress,
        )  # fmt: skip
        tables = (
            _utterance_table(sets.evaluation, spec, sweep.seed, root),
            in_whole_shards(_utterance_table(sets.identification, spec, sweep.seed, root), spec.emotions),
            _exclusion_table([*corpus.exclusions, *sets.exclusions]),
        )
    add_corpus(folder, spec.name, spec.emotions, *tables, corpus_identity(spec))
    return _corpus_items(spec, tables[0], tables[1], corpus.utterances, root)


class PreparedModel(NamedTuple):
    """What a job needs to know of its model.

    Attributes:
        profile: engine profile of the store.
        weights: fingerprint of the weights.
        provider: identity of the package that the adapter comes from; "" for an adapter of this package.
    """

    profile: EngineProfile
    weights: str
    provider: str


def prepare_model(
    spec: ModelSpec,
    plan: Plan,
    corpora: dict[str, CorpusItems],
    folder: StoreFolder,
    inspect_gpu: Callable[[], GpuInfo] | None = None,
) -> PreparedModel:
    """Create groups and rows of one model.

    Args:
        inspect_gpu: describes a GPU of the cluster; None if the model runs on the CPU.
    """
    checkpoint = locate_checkpoint(spec)
    layers, width, experts = gates = gate_shape(spec, checkpoint)
    weights = weights_fingerprint(checkpoint, adapter_of(spec, checkpoint))
    profile = _stored_profile(spec, folder, on_gpu=inspect_gpu is not None)
    if profile is None:
        gpu = inspect_gpu() if inspect_gpu else None
        profile = new_profile(spec, dtype_name(spec, checkpoint), gates, checkpoint, gpu)
    settings = model_attributes(spec, checkpoint)
    attributes = {"weights": weights, **settings, "engine": profile.as_attributes()}
    add_model(folder, spec.name, layers, width, {**attributes, "model": spec.model}, experts)
    add_masks(folder, spec.name, mask_table(plan.masks_of(spec.name), partial(budget, neurons=layers * width)))
    for corpus in corpora.values():
        cells = plan.cells_of(spec.name, corpus.name)
        add_counts(folder, spec.name, corpus.name)
        if cells:
            add_answers(folder, spec.name, corpus.name, cell_table(cells), cells_per_block(len(corpus.evaluation)))
    return PreparedModel(profile, weights, settings.get("provider", ""))


def check_mask_files(sweep: Sweep, model: ModelSpec, weights: str) -> None:
    """Raise `UserError` if the mask files of a study of `model` belong to weights with another fingerprint."""
    for title, study in sweep.studies.items():
        for file in study.mask_files if study.models is None or model.name in study.models else ():
            of_file = read_mask_file(file.path).attrs["weights"]
            if of_file not in (None, weights):
                raise UserError(
                    f"the masks of study {title!r} belong to other weights than those of model {model.name!r}",
                    where=str(file.path), expected=f"weights {weights}, not {of_file}",
                    fix="use the weights of the mask file, or select new masks",
                )  # fmt: skip


def _stored_profile(spec: ModelSpec, folder: StoreFolder, *, on_gpu: bool) -> EngineProfile | None:
    """The profile that the store was begun with, if it has this model."""
    stored = read_model(folder, spec.name)
    if stored is None:
        return None
    profile = EngineProfile.from_attributes(stored["engine"])
    if profile.device == "cuda" and not on_gpu:
        raise UserError(
            f"the store of model {spec.name!r} was started on a GPU, and this machine has none; rounding would differ",
            where=str(folder.root), fix="resume on a machine with a GPU, or start another store with --store FOLDER",
        )  # fmt: skip
    return profile


def _utterance_table(clips: Sequence[Clip], spec: CorpusSpec, seed: int, root: Path) -> UtteranceTable:
    """The rows of a set, with the option numbers of each utterance. Paths below `root` are stored relative to it."""

    def record(clip: Clip) -> dict[str, object]:
        utterance = clip.utterance
        order = option_order(spec.emotions, seed, spec.name, utterance.id)
        # Relative, so that machines with the corpus in different places write equal stores.
        path = utterance.path.relative_to(root) if utterance.path.is_relative_to(root) else utterance.path
        return {
            "id": utterance.id,
            "speaker": utterance.speaker,
            "label": utterance.emotion,
            "option_number": tuple(order.index(emotion) + 1 for emotion in spec.emotions),
            "split": utterance.split,
            "path": str(path),
            "samples": clip.samples,
            "sha256": clip.sha256,
        }

    return UtteranceTable.from_records(map(record, clips))


def _corpus_items(
    spec: CorpusSpec,
    evaluation: UtteranceTable,
    identification: UtteranceTable,
    current_utterances: Sequence[Utterance],
    root: Path,
) -> CorpusItems:
    """The stored rows as clips, with the paths that the corpus has on this machine."""
    path_of = {utterance.id: utterance.path for utterance in current_utterances}

    def clip(table: UtteranceTable, row: int) -> Clip:
        # An utterance that the corpus no longer lists keeps its old path, and becomes an unreadable clip there.
        path = path_of.get(table.id[row], root / table.path[row])
        utterance = Utterance(table.id[row], table.speaker[row], table.label[row], table.split[row], path)
        return Clip(utterance, table.samples[row], table.sha256[row])

    return CorpusItems(
        spec.name,
        spec.emotions,
        spec.options,
        tuple(clip(evaluation, row) for row in range(len(evaluation))),
        tuple(clip(identification, row) if id else None for row, id in enumerate(identification.id)),
    )


def _exclusion_table(items: Sequence[Exclusion]) -> ExclusionTable:
    return ExclusionTable.from_records(
        {"id": item.id, "label": item.emotion, "reason": str(item.reason), "detail": item.detail} for item in items
    )
