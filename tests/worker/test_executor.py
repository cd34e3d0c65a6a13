"""The executor without Ray: a failure becomes an outcome with a reason, and no intervention outlives its cell."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from esn_dist.errors import UserError
from esn_dist.models.audio_lm import AudioLM
from esn_dist.models.loading import load
from esn_dist.runner.mask_selection import MaskSelection
from esn_dist.runner.prepare import prepare_corpus, prepare_model, prepare_root
from esn_dist.seeds import digest
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import open_answers, open_counts, read_cells, read_masks
from esn_dist.store.tables import MaskTable
from esn_dist.sweep.load import load_sweep
from esn_dist.sweep.plan import plan
from esn_dist.sweep.records import read_mask_keys
from esn_dist.sweep.spec import ModelSpec
from esn_dist.sweep.units import AnswerUnit, EncodeUnit, IdentifyUnit
from esn_dist.terms import Outcome
from esn_dist.worker import cell_transforms
from esn_dist.worker import executor as executor_module
from esn_dist.worker.executor import Executor
from esn_dist.worker.job import EngineProfile, Job
from tests.runner.planted import EMOTIONS, write_corpus

MODEL = "tiny-qwen2.5-omni"
SWEEP = f"""\
name: body
seed: 1
store: store
models: [{MODEL}]
corpora:
  - name: tones
    type: manifest
    path: tones/manifest.csv
    emotions: [{", ".join(EMOTIONS)}]
    evaluation: {{splits: [test], per_emotion: 2}}
    identification: {{splits: [train], candidates: 3}}
studies:
  one: {{selectors: [RND], fractions: 50 %, seeds: 1, interventions: [deactivate]}}
"""


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return job_of(tmp_path, SWEEP)


def job_of(tmp_path: Path, text: str) -> Job:
    """The job of a sweep whose masks are written."""
    write_corpus(tmp_path / "tones", evaluation=2, identification=3)
    (tmp_path / "sweep.yaml").write_text(text, encoding="utf-8")
    sweep = load_sweep(tmp_path / "sweep.yaml")
    assert sweep.store and sweep.cache
    folder = StoreFolder(sweep.store)
    prepare_root(sweep, folder)
    corpora = {spec.name: prepare_corpus(sweep, spec, folder, workers=1) for spec in sweep.corpora}
    profile, weights, provider = prepare_model(sweep.models[0], plan(sweep), corpora, folder)
    emotions = {spec.name: spec.emotions for spec in sweep.corpora}
    selection = MaskSelection(folder, MODEL, emotions, {"tones": 3}, sweep.seed)
    for mask in read_mask_keys(folder, MODEL).values():
        selection.write(mask)
    return Job(folder.root, sweep.cache, sweep.models[0], weights, provider, profile, corpora, 1, 20, "token")


def answer_unit(executor: Executor) -> AnswerUnit:
    ids = read_cells(executor.folder, MODEL, "tones").id
    return AnswerUnit(MODEL, "tones", 0, len(ids), tuple(id for id in ids if id))


def answers_of(job: Job, executor: Executor, unreadable: list[str] | None = None) -> Any:
    output = executor.execute(answer_unit(executor))
    if unreadable is not None:
        unreadable += output.unreadable_clips
    return open_answers(executor.folder, MODEL, "tones").load()


def delete_clip(job: Job, name: str) -> None:
    (job.root.parent / "tones" / f"{name}.wav").unlink()


def test_a_clip_that_vanished_after_the_scan_is_an_outcome_with_its_name_and_the_others_are_answered(job: Job) -> None:
    delete_clip(job, "test-joy-1")
    lines: list[str] = []
    answers = answers_of(job, Executor(job), lines)
    unreadable = answers.outcome.values == Outcome.UNREADABLE
    assert np.array_equal(unreadable.all(axis=0), answers.utterance.values == "test-joy-1")
    assert (answers.outcome.values[~unreadable] < Outcome.UNREADABLE).all()
    assert np.isnan(answers.logprob.values[unreadable]).all()
    assert any(line.startswith("test-joy-1: missing") for line in lines)


def test_a_clip_that_was_replaced_after_the_scan_is_not_answered(job: Job) -> None:
    tones = job.root.parent / "tones"
    (tones / "test-joy-0.wav").write_bytes((tones / "test-anger-0.wav").read_bytes())
    lines: list[str] = []
    answers = answers_of(job, Executor(job), lines)
    assert (answers.outcome.sel(utterance="test-joy-0") == Outcome.UNREADABLE).all()
    assert any("sha256" in line for line in lines)


def test_cached_embeddings_are_used_when_the_file_is_gone(job: Job) -> None:
    Executor(job).execute(EncodeUnit(MODEL, "tones", "evaluation", 0))
    delete_clip(job, "test-joy-1")
    lines: list[str] = []
    assert (answers_of(job, Executor(job), lines).outcome != Outcome.UNREADABLE).all()
    assert not lines


def test_clips_are_encoded_one_by_one_if_the_profile_says_so_and_share_no_cache_with_batches(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_on_a_gpu(spec: ModelSpec, device: Literal["cpu", "cuda"]) -> AudioLM:
        model = load(spec, device)
        model.encoder_batch = model.GPU_ENCODER_BATCH
        return model

    monkeypatch.setattr(executor_module, "load", as_on_a_gpu)
    unit, hashes = EncodeUnit(MODEL, "tones", "evaluation", 0), [c.sha256 for c in job.corpora["tones"].evaluation]
    cached, calls = dict[bool, torch.Tensor](), dict[bool, int]()
    for batched in (True, False):
        executor = Executor(replace(job, profile=replace(job.profile, batch_encoding=batched)))
        calls[batched] = 0

        def count(*_: Any, batched: bool = batched) -> None:
            calls[batched] += 1

        executor.model.tower.register_forward_pre_hook(count)  # type: ignore[attr-defined]
        assert executor.embedding_cache.load(hashes) is None, "embeddings of the other way would be used"
        executor.execute(unit)
        executor.execute(unit)
        loaded = executor.embedding_cache.load(hashes)
        assert loaded is not None
        cached[batched] = torch.cat(loaded)
    assert calls == {True: 1, False: len(hashes)}
    torch.testing.assert_close(cached[True], cached[False], atol=1e-4, rtol=0)
    # The identity of versions without batches: their stores find their embeddings.
    assert executor.embedding_cache.model == digest(job.fingerprint, job.profile.dtype, job.profile.device)


@pytest.mark.parametrize(
    ("planned", "installed"), [("lalm-extra==1.0:ab", "lalm-extra==1.1:cd"), ("lalm-extra==1.0:ab", ""), ("", "x==1:e")]
)
def test_a_model_of_another_package_version_than_the_planned_one_is_refused_by_both_names(
    job: Job, monkeypatch: pytest.MonkeyPatch, planned: str, installed: str
) -> None:
    def by_another_package(spec: ModelSpec, device: Literal["cpu", "cuda"]) -> AudioLM:
        model = load(spec, device)
        model.provider = installed
        return model

    monkeypatch.setattr(executor_module, "load", by_another_package)
    with pytest.raises(UserError, match=f"planned with {planned or 'an adapter of esn_dist'}.*{installed} is"):
        Executor(replace(job, provider=planned))
    Executor(replace(job, provider=installed))


def test_a_store_that_was_begun_with_clips_encoded_together_keeps_its_profile() -> None:
    stored: dict[str, str | int] = {"device": "cpu", "dtype": "float32", "scaling": "fold", "token_budget": 64}
    profile = EngineProfile.from_attributes({**stored, "together": True})
    assert profile.batch_encoding and not EngineProfile.from_attributes(stored).batch_encoding
    assert profile.as_attributes()["together"] is True and "batch_encoding" not in profile.as_attributes()


def test_a_candidate_that_vanished_has_no_counts_and_no_answer(job: Job) -> None:
    delete_clip(job, "train-neutral-2")
    executor = Executor(job)
    executor.execute(IdentifyUnit(MODEL, "tones", tuple(range(len(EMOTIONS)))))
    counts = open_counts(executor.folder, MODEL, "tones")
    assert "train-neutral-2" not in counts.utterance.values
    assert counts.sizes["utterance"] == 3 * len(EMOTIONS) - 1
    assert (counts.K <= counts.T).all()


def test_weights_that_give_no_number_are_an_outcome_and_never_an_answer(job: Job) -> None:
    executor = Executor(job)
    with torch.no_grad():
        executor.model.head.weight[0, 0] = float("nan")  # type: ignore[operator]
    answers = answers_of(job, executor)
    assert (answers.outcome == Outcome.NON_FINITE).all()
    assert (answers.answer == -1).all()


def test_no_weight_is_changed_by_a_unit_that_scales_half_of_the_gates(job: Job) -> None:
    executor = Executor(job)
    before = {name: value.clone() for name, value in executor.model.decoder.state_dict().items()}
    answers = answers_of(job, executor)
    assert all(torch.equal(value, before[name]) for name, value in executor.model.decoder.state_dict().items())
    assert not np.array_equal(answers.logprob.values[0], answers.logprob.values[1])


def test_a_unit_of_many_cells_reads_the_table_of_masks_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    types = "[deactivate, {type: mix, alpha: 0.5}, {type: union, alpha: 0.5}]"
    job = job_of(tmp_path, SWEEP.replace("[deactivate]", types).replace("seeds: 1", "seeds: 2"))
    read: list[str] = []

    def counted(folder: StoreFolder, model: str) -> MaskTable:
        read.append(model)
        return read_masks(folder, model)

    monkeypatch.setattr(cell_transforms, "read_masks", counted)
    cells = read_cells(StoreFolder(job.root), MODEL, "tones")
    transforms = Executor(job).cell_transforms.of(cells.take(cells.row_by_id().values()))
    assert [type(transform).__name__ for transform in transforms] == ["NoneType", *["Scale", "Mix", "Scale"] * 2]
    assert read == [MODEL]


def test_the_same_unit_gives_the_same_bytes_whatever_ran_before(job: Job) -> None:
    first = answers_of(job, Executor(job)).logprob.values.copy()
    executor = Executor(job)
    executor.execute(IdentifyUnit(MODEL, "tones", (1, 2)))
    assert np.array_equal(answers_of(job, executor).logprob.values, first)


def test_units_of_two_threads_give_the_bytes_of_one_after_the_other(job: Job) -> None:
    """A unit is written while the next one is computed; the intervention of a unit must not reach another one."""
    alone = answers_of(job, Executor(job)).logprob.values.copy()
    executor = Executor(job)
    before = {name: value.clone() for name, value in executor.model.decoder.state_dict().items()}
    # Slow enough for the other thread to interfere, if it could.
    executor.model.head.register_forward_pre_hook(lambda module, args: time.sleep(0.05))
    with ThreadPoolExecutor(2) as threads:
        units = [answer_unit(executor), answer_unit(executor), IdentifyUnit(MODEL, "tones", (0, 1, 2))] * 2
        done = list(threads.map(executor.execute, units))
    assert all(d.files for d in done)
    assert all(torch.equal(value, before[name]) for name, value in executor.model.decoder.state_dict().items())
    assert np.array_equal(open_answers(executor.folder, MODEL, "tones").logprob.values, alone)
    counted = open_counts(executor.folder, MODEL, "tones").K.values.copy()
    Executor(job).execute(IdentifyUnit(MODEL, "tones", (0, 1, 2)))
    assert np.array_equal(open_counts(executor.folder, MODEL, "tones").K.values, counted)


def test_a_batch_that_does_not_fit_is_reported_by_the_unit_and_all_its_answers_are_written(job: Job) -> None:
    executor = Executor(job)

    def refuse(module: Any, args: tuple[torch.Tensor, ...]) -> None:
        if len(args[0]) > 1:
            raise torch.OutOfMemoryError("out of memory")

    expected = answers_of(job, executor).answer.values.copy()
    executor.model.head.register_forward_pre_hook(refuse)
    assert executor.execute(answer_unit(executor)).splits > 0
    assert np.array_equal(open_answers(executor.folder, MODEL, "tones").answer.values, expected)
