"""Executes units on one loaded model: encode, identify, answer. The body of an actor, without Ray.

A unit's result is a function of the unit and the job alone: batches are composed from the unit's rows, every utterance
is encoded by itself, and what fails is an outcome with a reason, never a number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from esn_dist.cluster.job import CorpusItems, Job
from esn_dist.cluster.questions import Questions, Rows
from esn_dist.cluster.select import mask_keys
from esn_dist.corpora.audio import AudioError, decode_clip
from esn_dist.corpora.utterance import Clip
from esn_dist.gates.find import find_gates
from esn_dist.gates.mix import Mix
from esn_dist.gates.scale import scaled
from esn_dist.inference.features import FeatureCache
from esn_dist.models.audio_lm import ClipUnfit
from esn_dist.models.registry import load
from esn_dist.seeds import digest
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import read_cells, read_member
from esn_dist.store.tables import SHARD_ROWS, CellTable
from esn_dist.store.write import write_answers, write_counts
from esn_dist.sweep.units import ENCODE_BLOCK, AnswerUnit, EncodeUnit, IdentifyUnit, Unit
from esn_dist.sweep.words import InterventionType
from esn_dist.task.prompt import option_order


class Executor:
    """A model held in memory and its job.

    Attributes:
        lost: clips that the last unit could not read, each with the reason; their rows have an outcome and no answer.
    """

    def __init__(self, job: Job) -> None:
        if job.profile.device == "cpu":
            torch.set_num_threads(job.profile.threads)
        self.job = job
        self.folder = StoreFolder(job.root)
        self.model = load(job.model, job.profile.device)
        self.gates = find_gates(self.model.decoder, job.model.sparse_gates)
        identity = digest(job.fingerprint, job.profile.dtype, job.profile.device)
        self.features = FeatureCache(job.cache / "features", identity)
        self.lost: list[str] = []
        self._evaluation: tuple[str, Questions] | None = None

    def run(self, unit: Unit) -> list[str]:
        """Execute `unit`; returns the files, relative to `data.zarr`, that its done-mark must vouch for."""
        self.lost = []
        match unit:
            case EncodeUnit():
                self._features(unit)
                return []
            case IdentifyUnit():
                return self._identify(unit)
            case AnswerUnit():
                return self._answer(unit)
            case _:
                raise TypeError(f"{type(unit).__name__} is the driver's")

    def _identify(self, unit: IdentifyUnit) -> list[str]:
        corpus = self.job.corpora[unit.corpus]
        shards = [slice(shard * SHARD_ROWS, (shard + 1) * SHARD_ROWS) for shard in unit.shards]
        rows = [[r for r in range(s.start, s.stop) if corpus.identification[r]] for s in shards]
        questions = self._questions(corpus, "identification", [r for shard in rows for r in shard])
        result = questions.ask(self.job.max_new_tokens, counted=self.gates)
        ends = np.cumsum([len(shard) for shard in rows]).tolist()
        return [
            file
            for shard, start, stop in zip(shards, [0, *ends], ends, strict=False)
            for file in self._write_shard(unit, shard, result.part(start, stop))
        ]

    def _write_shard(self, unit: IdentifyUnit, shard: slice, rows: Rows) -> list[str]:
        assert rows.K is not None and rows.T is not None
        return write_counts(
            self.folder, unit.model, unit.corpus, shard,
            K=rows.K, T=rows.T, answer=rows.answer, outcome=rows.outcome, logprob=rows.logprob, text=rows.text,
            T_expert=rows.T_expert,
        )  # fmt: skip

    def _answer(self, unit: AnswerUnit) -> list[str]:
        if not self._evaluation or self._evaluation[0] != unit.corpus:
            corpus = self.job.corpora[unit.corpus]
            questions = self._questions(corpus, "evaluation", range(len(corpus.evaluation)))
            self._evaluation = (unit.corpus, questions)
        table = read_cells(self.folder, unit.model, unit.corpus)
        cells = table.take(table.named()[id] for id in unit.cells)
        results = [self._under(cells, row, self._evaluation[1]) for row in range(len(cells))]
        return write_answers(
            self.folder, unit.model, unit.corpus, unit.rows,
            answer=np.stack([r.answer for r in results]), outcome=np.stack([r.outcome for r in results]),
            logprob=np.stack([r.logprob for r in results]), text=[r.text for r in results],
        )  # fmt: skip

    def _under(self, cells: CellTable, row: int, questions: Questions) -> Rows:
        """All questions under the intervention of one cell; a cell without a mask is the baseline."""
        mask, alpha, tokens = cells.mask[row], cells.alpha[row], self.job.max_new_tokens
        if not mask:
            return questions.ask(tokens)
        if cells.intervention[row] == InterventionType.MIX:
            single = mask_keys(self.folder, self.job.model.name)[mask].single
            member_ELN = np.stack([self._member(key.id) for key in single])
            return questions.ask(tokens, mix=Mix(self.gates, member_ELN, alpha, cells.tau[row]))
        with scaled(self.gates, self._member(mask), 1.0 + alpha, self.job.profile.scaling):
            return questions.ask(tokens)

    def _member(self, mask: str) -> npt.NDArray[np.bool_]:
        return read_member(self.folder, self.job.model.name, mask)

    def _questions(self, corpus: CorpusItems, pool: str, rows: Sequence[int]) -> Questions:
        """The questions of `rows`, each of which holds an utterance."""
        encoded: dict[int, Tensor | None] = {}
        for block in dict.fromkeys(row // ENCODE_BLOCK for row in rows):
            encoded |= self._features(EncodeUnit(self.job.model.name, corpus.name, pool, block))
        ids = [clip.utterance.id for row in rows if (clip := corpus.pool(pool)[row])]
        orders = [option_order(corpus.emotions, self.job.seed, corpus.name, id) for id in ids]
        features = [encoded[row] for row in rows]
        budget = self.job.profile.token_budget
        return Questions(self.model, features, orders, corpus.emotions, corpus.options, budget)

    def _features(self, unit: EncodeUnit) -> dict[int, Tensor | None]:
        """Audio rows of the utterances of one encode block, by row; None for clips that cannot be read any more."""
        items = self.job.corpora[unit.corpus].pool(unit.pool)
        clips = {row: clip for row in unit.rows if row < len(items) and (clip := items[row])}
        hashes = [clip.sha256 for clip in clips.values()]
        if (kept := self.features.load(hashes)) is not None:
            return dict(zip(clips, kept, strict=True))
        encoded = {row: self._encode(clip) for row, clip in clips.items()}
        whole = [features for features in encoded.values() if features is not None]
        if len(whole) == len(clips):  # a block with a failure is not kept: the file may come back
            self.features.save(hashes, whole)
        return encoded

    def _encode(self, clip: Clip) -> Tensor | None:
        try:
            return self.model.encode(decode_clip(clip)).cpu()
        except AudioError as error:
            self.lost.append(f"{clip.utterance.id}: {error.reason}: {error.detail}")
        except ClipUnfit as error:
            self.lost.append(f"{clip.utterance.id}: unfit for this model: {error}")
        return None
