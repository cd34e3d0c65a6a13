"""The packed engine gives the answers, counts and interventions of the plain one, which knows no packing.

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

from esn_dist.gates.count import Counter
from esn_dist.gates.find import find_gates
from esn_dist.gates.mix import Mix
from esn_dist.gates.scale import Scale, scaled
from esn_dist.inference.answer import Answers
from esn_dist.inference.batches import shared_prefix
from esn_dist.inference.engine import Asked, Engine, PaddedEngine, State, Watcher
from esn_dist.inference.packed.engine import PackedEngine, _Going, engine_of
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
        with torch.no_grad():  # spread enough for answers to differ; what the folder's weights say is always the same
            for weight in (w for part in (model.decoder, model.head) for w in part.parameters() if w.dim() > 1):
                weight.normal_(0, 0.2, generator=draw)
        self.plain, self.packed = PaddedEngine(model), PackedEngine(model, kernels=False)
        width = self.gates[0].weight_DN.shape[0]
        self.rows = [[torch.randn(n, width, generator=draw) for n in batch] for batch in LENGTHS]
        self.prompts = [[model.prompt(n, f"Which one, {n % 3}?") for n in batch] for batch in LENGTHS]
        self.prefix = shared_prefix(list(chain.from_iterable(self.prompts)))
        random = np.random.default_rng(2)
        self.member_ELN = random.random((3, len(self.gates), self.gates[0].width)) < 0.2

    def ask(
        self, engine: Engine[Any], prefix: int = 0, new: int = NEW, watchers: Sequence[Watcher | None] = (None,) * 3
    ) -> list[Answers]:
        batches = [engine.batch(p, r) for p, r in zip(self.prompts, self.rows, strict=True)]
        asked = [Asked(b, self.options(len(b)), w) for b, w in zip(batches, watchers, strict=True)]
        return list(engine.answers(asked, new, prefix))

    def options(self, rows: int) -> Tensor:
        return torch.arange(50).expand(rows, -1)

    def counters(self) -> list[Counter]:
        return [Counter(self.gates, len(batch), len(Part)) for batch in LENGTHS]


@pytest.fixture(scope="module", params=WRITERS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder: Path = tmp_path_factory.mktemp(request.param)
    WRITERS[request.param](folder, small=True)
    spec = {"name": request.param, "source": str(folder), "dtype": "float32"}
    return Case(load(ModelSpec.model_validate(spec), "cpu"))


def assert_same(ours: Sequence[Answers], theirs: Sequence[Answers]) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.tokens == other.tokens
        assert np.array_equal(mine.finite_B, other.finite_B)
        np.testing.assert_allclose(mine.logprob_BO, other.logprob_BO, atol=CLOSE)


@pytest.mark.parametrize("new", [1, 2, NEW])
def test_packed_answers_are_those_of_the_plain_engine(case: Case, new: int) -> None:
    plain = case.ask(case.plain, new=new)
    assert_same(case.ask(case.packed, new=new), plain)
    assert_same(case.ask(case.packed, case.prefix, new), plain)
    assert case.prefix > 3, "no prefix was shared"
    assert len({tuple(t) for said in plain for t in said.tokens}) > 3, "all answers are alike"


def test_an_answer_does_not_depend_on_the_batches_before_and_behind_it(case: Case) -> None:
    together = case.ask(case.packed, case.prefix)
    for index in range(3):
        batch = case.packed.batch(case.prompts[index], case.rows[index])
        (alone,) = case.packed.answers([Asked(batch, case.options(len(batch)))], NEW, case.prefix)
        assert alone.tokens == together[index].tokens
        assert np.array_equal(alone.logprob_BO, together[index].logprob_BO)


def test_a_folded_mask_acts_in_both(case: Case) -> None:
    before = case.ask(case.packed, case.prefix)
    with scaled(case.gates, case.member_ELN[0], 0.0, "fold"):
        packed, plain = case.ask(case.packed, case.prefix), case.ask(case.plain)
    assert_same(packed, plain)
    assert np.abs(packed[0].logprob_BO - before[0].logprob_BO).max() > 100 * CLOSE, "the mask did nothing"
    assert_same(case.ask(case.packed, case.prefix), before)


def test_counts_are_those_of_hooks(case: Case) -> None:
    ours, theirs = case.counters(), case.counters()
    assert_same(case.ask(case.packed, watchers=ours), case.ask(case.plain, watchers=theirs))
    for mine, other in zip(ours, theirs, strict=True):
        (K, T), (expected_K, expected_T) = mine.result(), other.result()
        assert np.array_equal(T, expected_T)
        # A pre-activation within rounding of zero may fall on either side.
        assert (expected_K != K).mean() < 1e-3 and np.abs(K.astype(int) - expected_K).max() <= 1
        assert T[:, Part.GENERATED].max() > 0, "no generated position was counted"


def test_whoever_watches_sees_the_shared_prefix_too(case: Case) -> None:
    ours, theirs = case.counters(), case.counters()
    case.ask(case.packed, case.prefix, watchers=ours)
    case.ask(case.packed, 0, watchers=theirs)
    assert all(np.array_equal(a.result()[0], b.result()[0]) for a, b in zip(ours, theirs, strict=True))


def test_who_watches_behind_a_batch_that_nobody_watches_sees_the_shared_prefix_too(case: Case) -> None:
    (_, second, _), (_, expected, _) = case.counters(), case.counters()
    case.ask(case.packed, case.prefix, watchers=[None, second, None])
    case.ask(case.packed, 0, watchers=[None, expected, None])
    assert all(np.array_equal(a, b) for a, b in zip(second.result(), expected.result(), strict=True))


def test_counts_of_a_batch_that_is_asked_again_in_halves_give_their_memory_back(case: Case) -> None:
    counter = Counter(case.gates, 3, len(Part))
    batch = case.packed.batch(case.prompts[0], case.rows[0])
    list(case.packed.answers([Asked(batch, case.options(3), counter)], 1))
    counted = weakref.ref(counter._K_XN[0])
    counter.rows(0, 1)
    assert counted() is None


def test_mix_is_that_of_hooks(case: Case) -> None:
    mixes = [Mix(case.gates, case.member_ELN, 0.8, 0.05) for _ in range(6)]
    packed = case.ask(case.packed, watchers=mixes[:3])
    assert_same(packed, case.ask(case.plain, watchers=mixes[3:]))
    assert np.abs(packed[0].logprob_BO - case.ask(case.packed)[0].logprob_BO).max() > 10 * CLOSE, "Mix did nothing"


@pytest.mark.parametrize("engine", ["packed, one stage", "packed, three stages", "plain"])
@pytest.mark.parametrize("new", [2, NEW])
def test_interventions_follow_each_other_without_a_pause_and_each_batch_is_answered_under_its_own(
    case: Case, engine: str, new: int
) -> None:
    """Batches under way, and long answers that are finished late, meet gates that are in another batch's state."""
    one: Engine[Any] = PaddedEngine(case.model) if engine == "plain" else PackedEngine(case.model, False)
    if isinstance(one, PackedEngine):
        one.stages = 3 if "three" in engine else 1  # as many batches lag, here all on one device
    prefix = case.prefix if isinstance(one, PackedEngine) else 0
    states = [
        None,
        Scale(case.gates, case.member_ELN[0], 0.0, "fold"),
        Scale(case.gates, case.member_ELN[1], 3.0, "fold"),
    ]
    expected = []
    for state in states:
        with state.applied() if state else nullcontext():
            expected += case.ask(one, prefix, new)
    assert len({str(answers.tokens) for answers in expected}) > 3, "interventions that change nothing show nothing"
    batches = [one.batch(p, r) for p, r in zip(case.prompts, case.rows, strict=True)]
    asked = [Asked(b, case.options(len(b)), None, state) for state in states for b in batches]
    said = list(one.answers(asked, new, prefix))
    assert [s.tokens for s in said] == [e.tokens for e in expected]
    assert all(np.array_equal(s.logprob_BO, e.logprob_BO) for s, e in zip(said, expected, strict=True))
    assert_same(case.ask(one, prefix, new), expected[:3])


def test_answers_that_nobody_takes_leave_no_intervention_behind(case: Case) -> None:
    batch = case.packed.batch(case.prompts[0], case.rows[0])
    before = case.gates[0].down.clone()
    asked = [Asked(batch, case.options(3), None, Scale(case.gates, case.member_ELN[0], 0.0, "fold"))] * 3
    with closing(case.packed.answers(asked, NEW)) as said:
        next(said)
        assert not torch.equal(case.gates[0].down, before)
    assert torch.equal(case.gates[0].down, before)


def test_rows_stop_at_their_stop_token_while_others_go_on(case: Case) -> None:
    said = case.ask(case.plain)
    kept = case.model.stop_ids
    case.model.stop_ids = (said[0].tokens[1][2],)
    try:
        plain, packed = case.ask(PaddedEngine(case.model)), case.ask(PackedEngine(case.model, False), case.prefix)
    finally:
        case.model.stop_ids = kept
    assert_same(packed, plain)
    assert len({len(tokens) for one in packed for tokens in one.tokens}) > 1


class Seen:
    """What a packed engine that shares its model between `stages` GPUs (here one) did, by the batch's number."""

    def __init__(self, case: Case, stages: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.engine, self.done = PackedEngine(case.model, False), list[tuple[str, int]]()
        self.engine.stages = stages
        for what in ("_read", "_step_and_send", "said"):
            monkeypatch.setattr(_Going, what, self._noted(what.strip("_"), getattr(_Going, what)))

    def _noted(self, what: str, method: Callable[[_Going], Any]) -> Callable[[_Going], Any]:
        def noted(going: _Going) -> Any:
            self.done.append((what, going.number))
            return method(going)

        return noted

    def at(self, what: str, number: int) -> list[int]:
        """When it was done."""
        return [at for at, done in enumerate(self.done) if done == (what, number)]


def many(case: Case, engine: Engine[Any], kinds: Sequence[int]) -> list[Asked[Any]]:
    """A batch of each kind (which of the case's), each in a state of its own, as cells have it."""
    batches = [engine.batch(case.prompts[kind], case.rows[kind]) for kind in kinds]
    member_nLN = np.random.default_rng(3).random((len(kinds), *case.member_ELN[0].shape)) < 0.2
    states = [Scale(case.gates, member_LN, 0.0, "fold") for member_LN in member_nLN]
    return [Asked(b, case.options(len(b)), None, s) for b, s in zip(batches, states, strict=True)]


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_a_token_is_fed_back_once_a_batch_more_than_there_are_gpus_is_read(
    case: Case, stages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Seen(case, stages, monkeypatch)
    list(seen.engine.answers(many(case, seen.engine, [1] * 6), 2, case.prefix))
    reads = [what for what, _ in seen.done[: seen.at("step_and_send", 0)[0]]]
    assert reads == ["read"] * {1: 1, 2: 3, 3: 4}[stages]


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_batches_with_long_answers_take_their_steps_while_others_are_read_and_are_given_in_their_turn(
    case: Case, stages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as there are GPUs speak to the end, one row at least; the others stop at their first or second token."""

    def asked(engine: Engine[Any], numbers: Sequence[int] = range(stages + 32)) -> list[Asked[Any]]:
        drawn = many(case, engine, [0] * stages + [1] * 32)
        return [drawn[number] for number in numbers]

    monkeypatch.setattr(case.model, "stop_ids", ())
    unstopped = list(case.plain.answers(asked(case.plain), NEW))
    stops, short = stops_between(unstopped[:stages], unstopped[stages:])
    numbers = [*range(stages), *(stages + n for n in short[:16])]
    monkeypatch.setattr(case.model, "stop_ids", stops)
    expected = list(case.plain.answers(asked(case.plain, numbers), NEW))
    lengths = [max(map(len, said.tokens)) for said in expected]
    assert lengths[:stages] == [NEW] * stages and max(lengths[stages:]) < 2 and len(lengths) == stages + 16

    seen, before = Seen(case, stages, monkeypatch), case.gates[0].down.clone()
    assert_same(list(seen.engine.answers(asked(seen.engine, numbers), NEW, case.prefix)), expected)
    assert torch.equal(case.gates[0].down, before)
    steps = [seen.at("step_and_send", number) for number in range(stages)]
    assert [len(own) for own in steps] == [NEW - 1] * stages
    assert max(map(max, steps)) < seen.at("read", len(numbers) - 1)[0], "steps were left until nothing hides them"
    for one, other in pairwise(sorted(at for own in steps for at in own[1:])):
        assert any(what == "read" for what, _ in seen.done[one:other]), "a batch waited for two steps of others"


def stops_between(long: Sequence[Answers], short: Sequence[Answers]) -> tuple[tuple[int, ...], list[int]]:
    """Tokens of which some row of each `long` batch says none; which of the one-row `short` batches they stop soon."""
    found: tuple[tuple[int, ...], list[int]] = (), []
    for rows in product(*(said.tokens for said in long)):
        kept = set(chain.from_iterable(rows))
        soon = {n: set(said.tokens[0][:2]) - kept for n, said in enumerate(short)}
        numbers = [n for n, tokens in soon.items() if tokens]
        if len(numbers) > len(found[1]):
            found = tuple(set(chain.from_iterable(soon.values()))), numbers
    return found


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_however_many_speak_on_few_batches_keep_memory(
    case: Case, stages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(case.model, "stop_ids", ())
    seen = Seen(case, stages, monkeypatch)
    kinds = [0, 1] * (2 * stages + 2)
    expected = list(case.plain.answers(many(case, case.plain, kinds), NEW))
    assert_same(list(seen.engine.answers(many(case, seen.engine, kinds), NEW, case.prefix)), expected)
    change = {"read": 1, "step_and_send": 0, "said": -1}
    under_way = np.cumsum([change[what] for what, _ in seen.done])
    assert under_way.max() == 3 * stages + (stages > 1), "the token budget counts on it"
    assert under_way[-1] == 0


def test_prompts_of_a_batch_are_embedded_as_each_alone(case: Case) -> None:
    for prompts, rows in zip(case.prompts, case.rows, strict=True):
        packed, alone = case.packed.batch(prompts, rows), map(case.model.embed, prompts, rows)
        assert torch.equal(packed.embedded_TD, torch.cat(list(alone)))


def test_a_row_with_a_non_finite_logit_is_flagged_alone(case: Case) -> None:
    batch = case.packed.batch(case.prompts[0], case.rows[0])
    (expected,) = case.packed.answers([Asked(batch, case.options(3))], NEW)
    batch.embedded_TD[batch.lengths[0] + 5] = torch.inf
    (said,) = case.packed.answers([Asked(batch, case.options(3))], NEW)
    assert said.finite_B.tolist() == [True, False, True] and said.tokens[1] == []
    assert [said.tokens[i] for i in (0, 2)] == [expected.tokens[i] for i in (0, 2)]


@pytest.mark.parametrize("engine", ["packed", "plain"])
@pytest.mark.parametrize("room", [1, 2])
def test_a_batch_that_does_not_fit_is_answered_in_halves(case: Case, engine: str, room: int) -> None:
    one: Engine[Any] = PackedEngine(case.model, False) if engine == "packed" else PaddedEngine(case.model)
    counters, expected_counters = case.counters(), case.counters()
    prefix = case.prefix if engine == "packed" else 0
    expected = case.ask(one, prefix)
    case.ask(one, watchers=expected_counters)
    with memory_for(case.model, room):
        said, counted = case.ask(one, prefix), case.ask(one, watchers=counters)
    assert_same(said, expected)
    assert_same(counted, expected)
    assert one.splits == {1: 2 * 5, 2: 2 * 2}[room]
    for mine, other in zip(counters, expected_counters, strict=True):
        assert np.abs(mine.result()[0].astype(int) - other.result()[0]).max() <= 1


def test_a_single_prompt_that_does_not_fit_fails_and_says_so(case: Case) -> None:
    with memory_for(case.model, 0), pytest.raises(torch.OutOfMemoryError, match="single prompt"):
        case.ask(PackedEngine(case.model, False))


def test_memory_that_runs_out_in_a_later_step_splits_the_batch_too(case: Case) -> None:
    """The third call of a batch's head is a further step of a batch that speaks on."""
    one, batch = PackedEngine(case.model, False), case.packed.batch(case.prompts[0], case.rows[0])
    counters = [Counter(case.gates, 3, len(Part)) for _ in range(2)]
    asked = [Asked(batch, case.options(3), watcher) for watcher in (None, counters[0])]
    expected = list(
        case.packed.answers([Asked(batch, case.options(3)), Asked(batch, case.options(3), counters[1])], NEW)
    )
    for ask, answers in zip(asked, expected, strict=True):
        with memory_for(case.model, 2, calls=2):
            (said,) = one.answers([ask], NEW)
        assert_same([said], [answers])
    assert one.splits == 2
    assert np.array_equal(counters[0].result()[1], counters[1].result()[1])


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_a_state_that_finds_no_memory_beside_the_batches_under_way_is_entered_once_they_are_answered(
    case: Case, stages: int
) -> None:
    one = PackedEngine(case.model, False)
    one.stages = stages
    scale = Scale(case.gates, case.member_ELN[0], 0.0, "fold")
    batches = [one.batch(p, r) for p, r in zip(case.prompts, case.rows, strict=True)]

    def asked(state: State) -> list[Asked[Any]]:
        return [Asked(b, case.options(len(b)), None, s) for s in (None, state) for b in batches]

    expected = list(one.answers(asked(scale), NEW, case.prefix))
    said = list(one.answers(asked(Crowded(scale)), NEW, case.prefix))
    assert_same(said, expected)
    assert one.splits == 0


def test_a_state_for_which_there_is_no_memory_at_all_fails_and_leaves_the_gates_alone(case: Case) -> None:
    batch, before = case.packed.batch(case.prompts[0], case.rows[0]), case.gates[0].down.clone()
    never = Crowded(Scale(case.gates, case.member_ELN[0], 0.0, "fold"), times=99)
    asked = [Asked(batch, case.options(3), None, state) for state in (None, never)]
    with pytest.raises(torch.OutOfMemoryError):
        list(case.packed.answers(asked, NEW, case.prefix))
    assert torch.equal(case.gates[0].down, before)


class Crowded:
    """A state that finds no memory when it is entered for the first times."""

    def __init__(self, scale: Scale, times: int = 1) -> None:
        self.scale, self.times = scale, times

    def applied(self) -> AbstractContextManager[None]:
        self.times -= 1
        if self.times >= 0:
            raise torch.OutOfMemoryError("no room")
        return self.scale.applied()


class memory_for:
    """Memory for answers of so many rows at once: the vocabulary projection of more fails as a full GPU does.

    The first `calls` are let through.
    """

    def __init__(self, model: AudioLM, rows: int, calls: int = 0) -> None:
        self.head, self.rows, self.calls = model.head, rows, calls

    def __enter__(self) -> None:
        def refuse(module: Any, args: tuple[Tensor, ...]) -> None:
            self.calls -= 1
            if len(args[0]) > self.rows and self.calls < 0:
                raise torch.OutOfMemoryError("no room")

        self.handle = self.head.register_forward_pre_hook(refuse)

    def __exit__(self, *_: object) -> None:
        self.handle.remove()


def test_a_hooked_gate_is_refused_for_no_module_is_called(case: Case) -> None:
    with scaled(case.gates, case.member_ELN[0], 0.5, "gate"), pytest.raises(RuntimeError, match="hooked"):
        case.ask(case.packed)


def test_weights_are_held_once(case: Case) -> None:
    layers: Any = case.model.decoder.layers
    layer, fused = layers[0], case.packed.layers.layers[0]
    start = fused.gate_up_MD.untyped_storage().data_ptr()
    assert layer.mlp.gate_proj.weight.untyped_storage().data_ptr() == start
    assert layer.mlp.up_proj.weight.untyped_storage().data_ptr() == start
    assert layer.self_attn.v_proj.weight.untyped_storage().data_ptr() == fused.qkv_XD.untyped_storage().data_ptr()
    assert layer.mlp.down_proj.weight.data_ptr() == fused.down_DN.data_ptr()


def test_only_decoders_of_qwen2_s_form_are_packed() -> None:
    size: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "vocab_size": 50}
    size |= {"num_attention_heads": 2, "num_key_value_heads": 1}
    assert Qwen2Layers.fits(Qwen2Model(Qwen2Config(**size)))
    assert not Qwen2Layers.fits(Qwen3Model(Qwen3Config(**size, head_dim=8)))
    sliding = Qwen2Config(**size, use_sliding_window=True, sliding_window=4, max_window_layers=0)
    assert not Qwen2Layers.fits(Qwen2Model(sliding))
    assert not Qwen2Layers.fits(Qwen2Model(Qwen2Config(**size, hidden_act="gelu")))
    with torch.device("meta"):
        assert not Qwen2Layers.fits(Qwen2Model(Qwen2Config(**size)))


def test_the_plain_engine_is_there_for_all_others_and_on_request(case: Case) -> None:
    assert isinstance(engine_of(case.model), PackedEngine)
    assert isinstance(engine_of(case.model, packed=False), PaddedEngine)


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
