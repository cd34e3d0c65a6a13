"""Executes units on one loaded model: encode, identify, answer. The body of an actor, without Ray.

A unit's result is a function of the unit and the job alone. Batches are composed from the unit's rows, and the audio
embeddings of an utterance do not depend on its neighbours. A failure is an outcome with a reason, never a number.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from esn_dist.corpora.audio import AudioError, decode_clip
from esn_dist.corpora.utterance import Clip
from esn_dist.errors import UserError
from esn_dist.gates.find import find_gates
from esn_dist.inference.embedding_cache import AudioEmbeddingCache
from esn_dist.inference.encode import encode_block
from esn_dist.inference.packed.engine import make_engine
from esn_dist.models.audio_lm import AudioLM
from esn_dist.models.loading import load
from esn_dist.seeds import digest
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import read_cells
from esn_dist.store.write import write_answers, write_counts
from esn_dist.sweep.units import ENCODE_BLOCK, AnswerUnit, EncodeUnit, IdentifyUnit, Unit
from esn_dist.task.prompt import option_order
from esn_dist.terms import SHARD_ROWS
from esn_dist.worker.cell_transforms import CellTransforms
from esn_dist.worker.job import CorpusItems, Job
from esn_dist.worker.prompt_batches import AnswerRows, PromptBatches

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UnitOutput:
    """What an executed unit wrote, and what a receipt says of it.

    Attributes:
        files: paths relative to `data.zarr` whose sizes and checksums the done-mark records.
        unreadable_clips: clips that could not be read, with reasons; their rows have an outcome and no answer.
        splits: batches that did not fit into memory and were answered in halves.
    """

    files: list[str]
    unreadable_clips: tuple[str, ...] = ()
    splits: int = 0


class Executor:
    """A model held in memory and its job.

    Several threads may execute units: one at a time uses the model, and the results of one unit are written while those
    of the next are computed.

    Raises:
        UserError: the model cannot be loaded, or its package is not installed in the version that the job was planned
            with.
    """

    def __init__(self, job: Job) -> None:
        if job.profile.device == "cpu":
            torch.set_num_threads(job.profile.threads)
        self.job = job
        self.folder = StoreFolder(job.root)
        self.model = load(job.model, job.profile.device)
        _refuse_other_provider(job, self.model)
        self.gates = find_gates(self.model.decoder, job.model.sparse_gates)
        self.engine = make_engine(self.model, packed=job.profile.engine == "packed", kernels=job.profile.kernels)
        if not job.profile.batch_encoding:
            self.model.encoder_batch = 0
        encoder_batch_identity = (self.model.encoder_batch,) if self.model.encoder_batch else ()
        provider = (self.model.provider,) if self.model.provider else ()
        identity = digest(job.fingerprint, job.profile.dtype, job.profile.device, *encoder_batch_identity, *provider)
        self.embedding_cache = AudioEmbeddingCache(job.cache / "features", identity)
        self.cell_transforms = CellTransforms(
            self.folder, job.model.name, self.gates, job.profile.scaling, self.engine.kernels
        )
        self._model_in_use = threading.RLock()
        self._evaluation: tuple[str, PromptBatches, tuple[str, ...]] | None = None
        logger.info("model %s is loaded on %s", job.model.name, job.profile.device)

    def execute(self, unit: Unit) -> UnitOutput:
        """Execute `unit` and write its arrays. The caller publishes its done-mark."""
        match unit:
            case EncodeUnit():
                output = self._encode_block(unit)
            case IdentifyUnit():
                output = self._identify(unit)
            case AnswerUnit():
                output = self._answer(unit)
            case _:
                raise TypeError(f"{type(unit).__name__} is executed by the driver")
        if output.splits:
            logger.warning("%d batches of %s did not fit into memory and were split", output.splits, unit.id)
        return output

    @property
    def peak_bytes(self) -> int:
        """Most memory that was in use on any of the model's GPUs; 0 on a CPU."""
        return max((torch.cuda.max_memory_allocated(i) for i in range(torch.cuda.device_count())), default=0)

    def _encode_block(self, unit: EncodeUnit) -> UnitOutput:
        unreadable: list[str] = []
        self._audio_embeddings(unit, unreadable)
        return UnitOutput([], tuple(unreadable))

    def _identify(self, unit: IdentifyUnit) -> UnitOutput:
        corpus, unreadable = self.job.corpora[unit.corpus], list[str]()
        shards = [slice(shard * SHARD_ROWS, (shard + 1) * SHARD_ROWS) for shard in unit.shards]
        rows = [[r for r in range(s.start, s.stop) if corpus.identification[r]] for s in shards]
        # The batches are composed while another unit uses the model.
        prompts = self._prompts(corpus, "identification", [r for shard in rows for r in shard], unreadable)
        with self._model_in_use:
            before = self.engine.splits
            fetch = prompts.answer_and_count(self.job.max_new_tokens, self.gates)
            splits = self.engine.splits - before
        result = fetch()  # copies hundreds of megabytes while the next unit uses the model
        del fetch, prompts  # frees the counts on the GPU before anything is written
        ends = np.cumsum([len(shard) for shard in rows]).tolist()
        files = [
            file
            for shard, start, stop in zip(shards, [0, *ends], ends, strict=False)
            for file in self._write_shard(unit, shard, result.part(start, stop))
        ]
        return UnitOutput(files, tuple(unreadable), splits)

    def _write_shard(self, unit: IdentifyUnit, shard: slice, rows: AnswerRows) -> list[str]:
        assert rows.K is not None and rows.T is not None
        return write_counts(
            self.folder, unit.model, unit.corpus, shard,
            K=rows.K, T=rows.T, answer=rows.answer, outcome=rows.outcome, logprob=rows.logprob, text=rows.text,
            T_expert=rows.T_expert,
        )  # fmt: skip

    def _answer(self, unit: AnswerUnit) -> UnitOutput:
        table = read_cells(self.folder, unit.model, unit.corpus, unit.rows)
        rows = table.row_by_id()
        cells = table.take(rows[id] for id in unit.cells)
        # Built before the model is in use, which must not wait for a disk.
        transforms = self.cell_transforms.of(cells)
        with self._model_in_use:
            before = self.engine.splits
            prompts, unreadable = self._evaluation_of(unit.corpus)
            results = prompts.answer_under(transforms, self.job.max_new_tokens)
            splits = self.engine.splits - before
        files = write_answers(
            self.folder, unit.model, unit.corpus, unit.rows,
            answer=np.stack([r.answer for r in results]), outcome=np.stack([r.outcome for r in results]),
            logprob=np.stack([r.logprob for r in results]), text=[r.text for r in results],
        )  # fmt: skip
        return UnitOutput(files, unreadable, splits)

    def _evaluation_of(self, corpus: str) -> tuple[PromptBatches, tuple[str, ...]]:
        """The prompts of an evaluation set, kept until another corpus is evaluated, and its unreadable clips."""
        if not self._evaluation or self._evaluation[0] != corpus:
            items, unreadable = self.job.corpora[corpus], list[str]()
            self._evaluation = None  # frees the old set's batches before the new ones are built
            prompts = self._prompts(items, "evaluation", range(len(items.evaluation)), unreadable)
            self._evaluation = (corpus, prompts, tuple(unreadable))
        return self._evaluation[1:]

    def _prompts(self, corpus: CorpusItems, set_name: str, rows: Sequence[int], unreadable: list[str]) -> PromptBatches:
        """The prompts of `rows`, each of which holds an utterance. Adds to `unreadable`."""
        audio_embeds: dict[int, Tensor | None] = {}
        for block in dict.fromkeys(row // ENCODE_BLOCK for row in rows):
            unit = EncodeUnit(self.job.model.name, corpus.name, set_name, block)
            audio_embeds |= self._audio_embeddings(unit, unreadable)
        ids = [clip.utterance.id for row in rows if (clip := corpus.utterances_of(set_name)[row])]
        orders = [option_order(corpus.emotions, self.job.seed, corpus.name, id) for id in ids]
        budget = self.job.profile.token_budget
        in_order = [audio_embeds[row] for row in rows]
        return PromptBatches(self.engine, in_order, orders, corpus.emotions, corpus.options, budget)

    def _audio_embeddings(self, unit: EncodeUnit, unreadable: list[str]) -> dict[int, Tensor | None]:
        """Audio embeddings [R, D] of one encode block by row; None for clips that it adds to `unreadable`."""
        items = self.job.corpora[unit.corpus].utterances_of(unit.set_name)
        clips = {row: clip for row in unit.rows if row < len(items) and (clip := items[row])}
        hashes = [clip.sha256 for clip in clips.values()]
        if (cached := self.embedding_cache.load(hashes)) is not None:
            return dict(zip(clips, cached, strict=True))
        reads = [partial(decode_clip, clip) for clip in clips.values()]
        results = encode_block(self.model, reads, self._model_in_use)
        for clip, result in zip(clips.values(), results, strict=True):
            if isinstance(result, Exception):
                unreadable.append(_reason(clip, result))
                logger.warning("unreadable clip %s", unreadable[-1])
        encoded = [embeds_RD for embeds_RD in results if isinstance(embeds_RD, Tensor)]
        if len(encoded) == len(clips):  # a block with a failure is not cached: the file may come back
            self.embedding_cache.save(hashes, encoded)
        return {row: r if isinstance(r, Tensor) else None for row, r in zip(clips, results, strict=True)}


def _refuse_other_provider(job: Job, model: AudioLM) -> None:
    """An answer is what the version of the package computes that the model was planned with."""
    if model.provider != job.provider:
        raise UserError(
            f"model {job.model.name!r} was planned with {job.provider or 'an adapter of esn_dist itself'}, and "
            f"{model.provider or 'no package with it'} is installed",
            fix="install that version on every machine, or go on in another store with --store FOLDER",
        )


def _reason(clip: Clip, error: Exception) -> str:
    """Why a clip is unreadable, for the log."""
    reason = f"{error.reason}: {error.detail}" if isinstance(error, AudioError) else f"unfit for this model: {error}"
    return f"{clip.utterance.id}: {reason}"
