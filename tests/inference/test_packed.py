"""The packed engine gives the answers, counts and interventions of the padded one, which knows no packing.

The paper's three models as real classes at a thousandth of their size, with random weights in float32, written and
loaded as their published folders.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from itertools import chain, pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import Qwen2Config, Qwen2Model, Qwen3Config, Qwen3Model

from esn_dist.gates.count import ActivationCounter
from esn_dist.gates.find import find_gates
from esn_dist.gates.mix import Mix
from esn_dist.gates.protocols import ActivationObserver, GateTransform
from esn_dist.gates.scale import Scale, scaled
from esn_dist.inference.answer import BatchAnswers
from esn_dist.inference.batches import shared_prefix
from esn_dist.inference.engine import BatchRequest, Engine, PaddedEngine
from esn_dist.inference.packed.engine import InflightBatch, PackedEngine, make_engine
from esn_dist.inference.packed.layers import Qwen2Layers
from esn_dist.models.audio_lm import AudioLM, Prompt
from esn_dist.models.loading import load
from esn_dist.sweep.spec import ModelSpec
from esn_dist.terms import Part
from full_size import write_flamingo, write_kimi, write_omni

WRITERS = {"qwen2.5-omni-7b": write_omni, "audio-flamingo-3": write_flamingo, "kimi-audio-7b": write_kimi}
LENGTHS = ((3, 40, 7), (1,), (60, 61, 2, 30))  # audio rows of each prompt, batch by batch
NEW = 6
CLOSE = 2e-5


class Case:
    """One model, both engines, and some batches of prompts."""

    def __init__(self, model: AudioLM) -> None:
        self.model, self.gates = model, find_gates(model.decoder)
        draw = torch.Generator().manual_seed(1)
        with torch.no_grad():  # spread enough for answers to differ; the written weights always give the same answer
            for weight in (w for part in (model.decoder, model.head) for w in part.parameters() if w.dim() > 1):
                weight.normal_(0, 0.2, generator=draw)
        self.padded, self.packed = PaddedEngine(model), PackedEngine(model, kernels=False)
        width = self.gates[0].down.shape[0]
        self.rows = [[torch.randn(n, width, generator=draw) for n in batch] for batch in LENGTHS]
        self.prompts = [[model.prompt(n, f"Which one, {n % 3}?") for n in batch] for batch in LENGTHS]
        self.prefix = shared_prefix(list(chain.from_iterable(self.prompts)))
        random = np.random.default_rng(2)
        self.member_ELN = random.random((3, len(self.gates), self.gates[0].width)) < 0.2

    def answer(
        self,
        engine: Engine[Any],
        prefix: int = 0,
        new: int = NEW,
        observers: Sequence[ActivationObserver | None] = (None,) * 3,
    ) -> list[BatchAnswers]:
        batches = [engine.batch(p, r) for p, r in zip(self.prompts, self.rows, strict=True)]
        requests = [BatchRequest(b, self.options(len(b)), o) for b, o in zip(batches, observers, strict=True)]
        return list(engine.answer_batches(requests, new, prefix))

    def options(self, rows: int) -> Tensor:
        return torch.arange(50).expand(rows, -1)

    def counters(self) -> list[ActivationCounter]:
        return [ActivationCounter(self.gates, len(batch), len(Part)) for batch in LENGTHS]


@pytest.fixture(scope="module", params=WRITERS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder: Path = tmp_path_factory.mktemp(request.param)
    WRITERS[request.param](folder, small=True)
    spec = {"name": request.param, "source": str(folder), "dtype": "float32"}
    return Case(load(ModelSpec.model_validate(spec), "cpu"))


def assert_same(ours: Sequence[BatchAnswers], theirs: Sequence[BatchAnswers]) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.tokens == other.tokens
        assert np.array_equal(mine.finite_B, other.finite_B)
        np.testing.assert_allclose(mine.logprob_BO, other.logprob_BO, atol=CLOSE)


@pytest.mark.parametrize("new", [1, 2, NEW])
def test_packed_answers_are_those_of_the_padded_engine(case: Case, new: int) -> None:
    padded = case.answer(case.padded, new=new)
    assert_same(case.answer(case.packed, new=new), padded)
    assert_same(case.answer(case.packed, case.prefix, new), padded)
    assert case.prefix > 3, "no prefix was shared"
    assert len({tuple(t) for answers in padded for t in answers.tokens}) > 3, "all answers are alike"


def test_an_answer_does_not_depend_on_the_batches_before_and_behind_it(case: Case) -> None:
    together = case.answer(case.packed, case.prefix)
    for index in range(3):
        batch = case.packed.batch(case.prompts[index], case.rows[index])
        (alone,) = case.packed.answer_batches([BatchRequest(batch, case.options(len(batch)))], NEW, case.prefix)
        assert alone.tokens == together[index].tokens
        assert np.array_equal(alone.logprob_BO, together[index].logprob_BO)


def test_a_folded_mask_acts_in_both(case: Case) -> None:
    before = case.answer(case.packed, case.prefix)
    with scaled(case.gates, case.member_ELN[0], 0.0, "fold"):
        packed, padded = case.answer(case.packed, case.prefix), case.answer(case.padded)
    assert_same(packed, padded)
    assert np.abs(packed[0].logprob_BO - before[0].logprob_BO).max() > 100 * CLOSE, "the mask did nothing"
    assert_same(case.answer(case.packed, case.prefix), before)


def test_counts_are_those_of_hooks(case: Case) -> None:
    ours, theirs = case.counters(), case.counters()
    assert_same(case.answer(case.packed, observers=ours), case.answer(case.padded, observers=theirs))
    for mine, other in zip(ours, theirs, strict=True):
        (K, T), (expected_K, expected_T) = mine.result(), other.result()
        assert np.array_equal(T, expected_T)
        # A pre-activation within rounding of zero may fall on either side.
        assert (expected_K != K).mean() < 1e-3 and np.abs(K.astype(int) - expected_K).max() <= 1
        assert T[:, Part.GENERATED].max() > 0, "no generated position was counted"


def test_an_observer_gets_the_positions_of_the_shared_prefix_too(case: Case) -> None:
    ours, theirs = case.counters(), case.counters()
    case.answer(case.packed, case.prefix, observers=ours)
    case.answer(case.packed, 0, observers=theirs)
    assert all(np.array_equal(a.result()[0], b.result()[0]) for a, b in zip(ours, theirs, strict=True))


def test_an_observer_after_a_batch_without_one_gets_the_shared_prefix_too(case: Case) -> None:
    (_, second, _), (_, expected, _) = case.counters(), case.counters()
    case.answer(case.packed, case.prefix, observers=[None, second, None])
    case.answer(case.packed, 0, observers=[None, expected, None])
    assert all(np.array_equal(a, b) for a, b in zip(second.result(), expected.result(), strict=True))


def test_counts_of_a_batch_that_is_answered_again_in_halves_free_their_memory(case: Case) -> None:
    counter = ActivationCounter(case.gates, 3, len(Part))
    batch = case.packed.batch(case.prompts[0], case.rows[0])
    list(case.packed.answer_batches([BatchRequest(batch, case.options(3), counter)], 1))
    counted = weakref.ref(counter._K_FN[0])
    counter.split(0, 1)
    assert counted() is None


def test_mix_is_that_of_hooks(case: Case) -> None:
    mixes = [Mix(case.gates, case.member_ELN, 0.8, 0.05) for _ in range(6)]
    packed = case.answer(case.packed, observers=mixes[:3])
    assert_same(packed, case.answer(case.padded, observers=mixes[3:]))
    assert np.abs(packed[0].logprob_BO - case.answer(case.packed)[0].logprob_BO).max() > 10 * CLOSE, "Mix did nothing"


@pytest.mark.parametrize("kind", ["packed, one stage", "packed, three stages", "padded"])
@pytest.mark.parametrize("new", [2, NEW])
def test_interventions_follow_each_other_without_a_pause_and_each_batch_is_answered_under_its_own(
    case: Case, kind: str, new: int
) -> None:
    """While batches are in flight and long answers still decode, the gates are under another batch's transform."""
    engine: Engine[Any] = PaddedEngine(case.model) if kind == "padded" else PackedEngine(case.model, False)
    if isinstance(engine, PackedEngine):
        engine.stages = 3 if "three" in kind else 1  # batches in flight for as many GPUs, here all on one device
    prefix = case.prefix if isinstance(engine, PackedEngine) else 0
    transforms = [
        None,
        Scale(case.gates, case.member_ELN[0], 0.0, "fold"),
        Scale(case.gates, case.member_ELN[1], 3.0, "fold"),
    ]
    expected = []
    for transform in transforms:
        with transform.applied() if transform else nullcontext():
            expected += case.answer(engine, prefix, new)
    assert len({str(answers.tokens) for answers in expected}) > 3, "interventions that change nothing show nothing"
    batches = [engine.batch(p, r) for p, r in zip(case.prompts, case.rows, strict=True)]
    requests = [BatchRequest(b, case.options(len(b)), None, transform) for transform in transforms for b in batches]
    answers = list(engine.answer_batches(requests, new, prefix))
    assert [a.tokens for a in answers] == [e.tokens for e in expected]
    assert all(np.array_equal(a.logprob_BO, e.logprob_BO) for a, e in zip(answers, expected, strict=True))
    assert_same(case.answer(engine, prefix, new), expected[:3])


def test_a_generator_that_is_closed_early_leaves_no_intervention_behind(case: Case) -> None:
    batch = case.packed.batch(case.prompts[0], case.rows[0])
    before = case.gates[0].down.clone()
    transform = Scale(case.gates, case.member_ELN[0], 0.0, "fold")
    with closing(
        case.packed.answer_batches([BatchRequest(batch, case.options(3), None, transform)] * 3, NEW)
    ) as answers:
        next(answers)
        assert not torch.equal(case.gates[0].down, before)
    assert torch.equal(case.gates[0].down, before)


def test_rows_stop_at_their_stop_token_while_others_go_on(case: Case) -> None:
    unstopped = case.answer(case.padded)
    stop_ids = case.model.stop_ids
    case.model.stop_ids = (unstopped[0].tokens[1][2],)
    try:
        padded = case.answer(PaddedEngine(case.model))
        packed = case.answer(PackedEngine(case.model, False), case.prefix)
    finally:
        case.model.stop_ids = stop_ids
    assert_same(packed, padded)
    assert len({len(tokens) for answers in packed for tokens in answers.tokens}) > 1


class Recorded:
    """The steps of a packed engine whose layers are spread over `stages` GPUs (here one), by the batch's number."""

    def __init__(self, case: Case, stages: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.engine, self.steps = PackedEngine(case.model, False), list[tuple[str, int]]()
        self.engine.stages = stages
        for name in ("_prefill", "_decode_and_copy", "answers"):
            monkeypatch.setattr(InflightBatch, name, self._recorded(name.strip("_"), getattr(InflightBatch, name)))

    def _recorded(self, name: str, method: Callable[[InflightBatch], Any]) -> Callable[[InflightBatch], Any]:
        def recorded(batch: InflightBatch) -> Any:
            self.steps.append((name, batch.number))
            return method(batch)

        return recorded

    def times(self, name: str, number: int) -> list[int]:
        """Indices of a batch's steps of one name."""
        return [index for index, step in enumerate(self.steps) if step == (name, number)]


def many(case: Case, engine: Engine[Any], kinds: Sequence[int]) -> list[BatchRequest[Any]]:
    """A request for each kind (index of the case's batch), each under its own transform, as cells have it."""
    batches = [engine.batch(case.prompts[kind], case.rows[kind]) for kind in kinds]
    member_nLN = np.random.default_rng(3).random((len(kinds), *case.member_ELN[0].shape)) < 0.2
    transforms = [Scale(case.gates, member_LN, 0.0, "fold") for member_LN in member_nLN]
    return [BatchRequest(b, case.options(len(b)), None, t) for b, t in zip(batches, transforms, strict=True)]


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_a_first_token_is_fed_back_once_one_batch_more_than_there_are_gpus_is_prefilled(
    case: Case, stages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded(case, stages, monkeypatch)
    list(recorded.engine.answer_batches(many(case, recorded.engine, [1] * 6), 2, case.prefix))
    before = [name for name, _ in recorded.steps[: recorded.times("decode_and_copy", 0)[0]]]
    assert before == ["prefill"] * {1: 1, 2: 3, 3: 4}[stages]


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_batches_with_long_answers_decode_while_others_are_prefilled_and_answers_keep_their_order(
    case: Case, stages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many batches as GPUs decode to the end, one row at least; others stop at their first or second token."""

    def requests(engine: Engine[Any], numbers: Sequence[int] = range(stages + 32)) -> list[BatchRequest[Any]]:
        drawn = many(case, engine, [0] * stages + [1] * 32)
        return [drawn[number] for number in numbers]

    monkeypatch.setattr(case.model, "stop_ids", ())
    unstopped = list(case.padded.answer_batches(requests(case.padded), NEW))
    stops, short = stops_between(unstopped[:stages], unstopped[stages:])
    numbers = [*range(stages), *(stages + n for n in short[:16])]
    monkeypatch.setattr(case.model, "stop_ids", stops)
    expected = list(case.padded.answer_batches(requests(case.padded, numbers), NEW))
    lengths = [max(map(len, answers.tokens)) for answers in expected]
    assert lengths[:stages] == [NEW] * stages and max(lengths[stages:]) < 2 and len(lengths) == stages + 16

    recorded, before = Recorded(case, stages, monkeypatch), case.gates[0].down.clone()
    assert_same(list(recorded.engine.answer_batches(requests(recorded.engine, numbers), NEW, case.prefix)), expected)
    assert torch.equal(case.gates[0].down, before)
    decode_steps = [recorded.times("decode_and_copy", number) for number in range(stages)]
    assert [len(steps) for steps in decode_steps] == [NEW - 1] * stages
    last_prefill = recorded.times("prefill", len(numbers) - 1)[0]
    assert max(map(max, decode_steps)) < last_prefill, "steps were left until nothing hides them"
    for step, following in pairwise(sorted(step for steps in decode_steps for step in steps[1:])):
        names = [name for name, _ in recorded.steps[step:following]]
        assert "prefill" in names, "a batch waited for two steps of others"


def stops_between(long: Sequence[BatchAnswers], short: Sequence[BatchAnswers]) -> tuple[tuple[int, ...], list[int]]:
    """Tokens that some row of each `long` batch never generates, and the one-row `short` batches they stop soon."""
    best: tuple[tuple[int, ...], list[int]] = (), []
    for rows in product(*(answers.tokens for answers in long)):
        kept = set(chain.from_iterable(rows))
        early = {n: set(answers.tokens[0][:2]) - kept for n, answers in enumerate(short)}
        numbers = [n for n, tokens in early.items() if tokens]
        if len(numbers) > len(best[1]):
            best = tuple(set(chain.from_iterable(early.values()))), numbers
    return best


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_however_many_batches_decode_on_few_of_them_keep_memory(
    case: Case, stages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(case.model, "stop_ids", ())
    recorded = Recorded(case, stages, monkeypatch)
    kinds = [0, 1] * (2 * stages + 2)
    expected = list(case.padded.answer_batches(many(case, case.padded, kinds), NEW))
    assert_same(list(recorded.engine.answer_batches(many(case, recorded.engine, kinds), NEW, case.prefix)), expected)
    change = {"prefill": 1, "decode_and_copy": 0, "answers": -1}
    in_flight = np.cumsum([change[name] for name, _ in recorded.steps])
    assert in_flight.max() == 3 * stages + (stages > 1), "the token budget counts on it"
    assert in_flight[-1] == 0


def test_prompts_of_a_batch_are_embedded_as_each_alone(case: Case) -> None:
    for prompts, rows in zip(case.prompts, case.rows, strict=True):
        packed, alone = case.packed.batch(prompts, rows), map(case.model.embed, prompts, rows)
        assert torch.equal(packed.embedded_TD, torch.cat(list(alone)))


def test_a_row_with_a_non_finite_logit_is_flagged_alone(case: Case) -> None:
    batch = case.packed.batch(case.prompts[0], case.rows[0])
    (expected,) = case.packed.answer_batches([BatchRequest(batch, case.options(3))], NEW)
    batch.embedded_TD[batch.lengths[0] + 5] = torch.inf
    (answers,) = case.packed.answer_batches([BatchRequest(batch, case.options(3))], NEW)
    assert answers.finite_B.tolist() == [True, False, True] and answers.tokens[1] == []
    assert [answers.tokens[i] for i in (0, 2)] == [expected.tokens[i] for i in (0, 2)]


@pytest.mark.parametrize("kind", ["packed", "padded"])
@pytest.mark.parametrize("fitting", [1, 2])
def test_a_batch_that_does_not_fit_is_answered_in_halves(case: Case, kind: str, fitting: int) -> None:
    engine: Engine[Any] = PackedEngine(case.model, False) if kind == "packed" else PaddedEngine(case.model)
    counters, expected_counters = case.counters(), case.counters()
    prefix = case.prefix if kind == "packed" else 0
    expected = case.answer(engine, prefix)
    case.answer(engine, observers=expected_counters)
    with memory_for(case.model, fitting):
        answers, counted = case.answer(engine, prefix), case.answer(engine, observers=counters)
    assert_same(answers, expected)
    assert_same(counted, expected)
    assert engine.splits == {1: 2 * 5, 2: 2 * 2}[fitting]
    for mine, other in zip(counters, expected_counters, strict=True):
        assert np.abs(mine.result()[0].astype(int) - other.result()[0]).max() <= 1


def test_a_single_prompt_that_does_not_fit_fails_and_says_so(case: Case) -> None:
    with memory_for(case.model, 0), pytest.raises(torch.OutOfMemoryError, match="single prompt"):
        case.answer(PackedEngine(case.model, False))


def test_memory_that_runs_out_in_a_later_step_splits_the_batch_too(case: Case) -> None:
    """The third call of a batch's head is a further decode step."""
    engine, batch = PackedEngine(case.model, False), case.packed.batch(case.prompts[0], case.rows[0])
    counters = [ActivationCounter(case.gates, 3, len(Part)) for _ in range(2)]
    requests, fitting = (
        [BatchRequest(batch, case.options(3), observer) for observer in (None, counter)] for counter in counters
    )
    expected = list(case.packed.answer_batches(fitting, NEW))
    for request, answers in zip(requests, expected, strict=True):
        with memory_for(case.model, 2, calls=2):
            (split,) = engine.answer_batches([request], NEW)
        assert_same([split], [answers])
    assert engine.splits == 2
    assert np.array_equal(counters[0].result()[1], counters[1].result()[1])


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_a_transform_without_memory_while_batches_are_in_flight_is_applied_once_they_are_answered(
    case: Case, stages: int
) -> None:
    engine = PackedEngine(case.model, False)
    engine.stages = stages
    scale = Scale(case.gates, case.member_ELN[0], 0.0, "fold")
    batches = [engine.batch(p, r) for p, r in zip(case.prompts, case.rows, strict=True)]

    def requests(transform: GateTransform) -> list[BatchRequest[Any]]:
        return [BatchRequest(b, case.options(len(b)), None, t) for t in (None, transform) for b in batches]

    expected = list(engine.answer_batches(requests(scale), NEW, case.prefix))
    answers = list(engine.answer_batches(requests(OutOfMemory(scale)), NEW, case.prefix))
    assert_same(answers, expected)
    assert engine.splits == 0


def test_a_transform_for_which_there_is_no_memory_at_all_fails_and_leaves_the_gates_alone(case: Case) -> None:
    batch, before = case.packed.batch(case.prompts[0], case.rows[0]), case.gates[0].down.clone()
    never = OutOfMemory(Scale(case.gates, case.member_ELN[0], 0.0, "fold"), times=99)
    requests = [BatchRequest(batch, case.options(3), None, transform) for transform in (None, never)]
    with pytest.raises(torch.OutOfMemoryError):
        list(case.packed.answer_batches(requests, NEW, case.prefix))
    assert torch.equal(case.gates[0].down, before)


class OutOfMemory:
    """A transform for which there is no memory the first `times` it is applied."""

    def __init__(self, scale: Scale, times: int = 1) -> None:
        self.scale, self.times = scale, times

    def observer(self) -> None:
        """None: no forward call needs an observer."""

    def applied(self) -> AbstractContextManager[None]:
        self.times -= 1
        if self.times >= 0:
            raise torch.OutOfMemoryError("no memory")
        return self.scale.applied()


class memory_for:
    """Memory for the answers of `rows` at once: the vocabulary projection of more fails as a full GPU does.

    The first `calls` succeed in any case.
    """

    def __init__(self, model: AudioLM, rows: int, calls: int = 0) -> None:
        self.head, self.rows, self.calls = model.head, rows, calls

    def __enter__(self) -> None:
        def refuse(module: Any, args: tuple[Tensor, ...]) -> None:
            self.calls -= 1
            if len(args[0]) > self.rows and self.calls < 0:
                raise torch.OutOfMemoryError("no memory")

        self.handle = self.head.register_forward_pre_hook(refuse)

    def __exit__(self, *_: object) -> None:
        self.handle.remove()


def test_a_hooked_gate_is_refused_for_no_module_is_called(case: Case) -> None:
    with scaled(case.gates, case.member_ELN[0], 0.5, "gate"), pytest.raises(RuntimeError, match="hooked"):
        case.answer(case.packed)


def test_weights_are_held_once(case: Case) -> None:
    layers: Any = case.model.decoder.layers
    layer, fused = layers[0], case.packed.layers.layers[0]
    start = fused.gate_up_MD.untyped_storage().data_ptr()
    assert layer.mlp.gate_proj.weight.untyped_storage().data_ptr() == start
    assert layer.mlp.up_proj.weight.untyped_storage().data_ptr() == start
    assert layer.self_attn.v_proj.weight.untyped_storage().data_ptr() == fused.qkv_QD.untyped_storage().data_ptr()
    assert layer.mlp.down_proj.weight.data_ptr() == fused.down_DN.data_ptr()


def test_only_decoders_of_qwen2_s_form_are_packed() -> None:
    size: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "vocab_size": 50}
    size |= {"num_attention_heads": 2, "num_key_value_heads": 1}
    assert Qwen2Layers.supports(Qwen2Model(Qwen2Config(**size)))
    assert not Qwen2Layers.supports(Qwen3Model(Qwen3Config(**size, head_dim=8)))
    sliding = Qwen2Config(**size, use_sliding_window=True, sliding_window=4, max_window_layers=0)
    assert not Qwen2Layers.supports(Qwen2Model(sliding))
    assert not Qwen2Layers.supports(Qwen2Model(Qwen2Config(**size, hidden_act="gelu")))
    with torch.device("meta"):
        assert not Qwen2Layers.supports(Qwen2Model(Qwen2Config(**size)))


def test_the_padded_engine_is_there_for_all_others_and_on_request(case: Case) -> None:
    assert isinstance(make_engine(case.model), PackedEngine)
    assert isinstance(make_engine(case.model, packed=False), PaddedEngine)


def prompt(ids: Sequence[int], audio: int) -> Prompt:
    part_L: npt.NDArray[np.int8] = np.full(len(ids), int(Part.TEXT), np.int8)
    part_L[audio : audio + 1] = Part.AUDIO
    return Prompt(np.array(ids, np.int64), part_L)


@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=6), min_size=1, max_size=4), st.integers(0, 6))
def test_the_shared_prefix_is_shared_and_holds_no_audio_and_no_whole_prompt(ids: list[list[int]], audio: int) -> None:
    prompts = [prompt(i, audio) for i in ids]
    shared = shared_prefix(prompts)
    assert len({tuple(i[:shared]) for i in ids}) == 1
    assert all(shared < len(i) for i in ids) and shared <= audio
    longer = shared + 1
    assert longer > audio or any(longer >= len(i) for i in ids) or len({tuple(i[:longer]) for i in ids}) > 1
