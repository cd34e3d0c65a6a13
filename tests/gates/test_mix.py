"""Mix equals its equations, written out slowly, for every row, whatever the other rows of the batch."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from esn_dist.gates.find import Gate
from esn_dist.gates.mix import Mix
from esn_dist.gates.positions import TokenPositions

ALPHA, TAU = 0.7, 0.1


def one_gate(width: int) -> Gate:
    return Gate(0, nn.SiLU(), nn.Linear(width, 2))


def mixed(member_EN: npt.NDArray[np.bool_], u_BSN: Tensor, part_BS: Tensor, alpha: float = ALPHA) -> Tensor:
    """The gate of one layer under Mix."""
    gate = one_gate(u_BSN.shape[-1])
    mix = Mix([gate], member_EN[:, None], alpha, TAU)
    mix.begin_forward(TokenPositions.padded(part_BS))
    with mix.hooks():
        scaled: Tensor = gate.activation(u_BSN)
    return scaled


def slow(
    member_EN: npt.NDArray[np.bool_], g_SN: list[list[float]], counted: list[int], alpha: float
) -> list[list[float]]:
    """Eqs. 14–16 and the rule of overlaps for one row without padding, one number at a time."""
    if not counted:
        return g_SN
    masks = {e: [n for n, is_in in enumerate(mask) if is_in] for e, mask in enumerate(member_EN)}
    masks = {e: mask for e, mask in masks.items() if mask}
    q = {e: sum(sum(g_SN[t][n] for n in mask) / len(mask) for t in counted) / len(counted) for e, mask in masks.items()}
    total = sum(math.exp(q[e] / TAU) for e in masks)
    w = {e: math.exp(q[e] / TAU) / total for e in masks}

    def gain(n: int) -> float:
        return max((1 + alpha * w[e] for e, mask in masks.items() if n in mask), default=1.0)

    return [[g * gain(n) for n, g in enumerate(g_N)] for g_N in g_SN]


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.floats(0.05, 3.0))
def test_every_row_equals_the_equations_written_out(seed: int, rows: int, alpha: float) -> None:
    """Masks overlap, some are empty, rows differ in length; special tokens are scaled and are no evidence."""
    random = np.random.default_rng(seed)
    emotions, width, longest = int(random.integers(1, 5)), 7, 6
    member_EN = random.random((emotions, width)) < random.choice([0.1, 0.4])
    lengths = random.integers(1, longest + 1, rows)
    u_BSN = torch.from_numpy(random.normal(size=(rows, longest, width)).astype(np.float32))
    part_BS = torch.from_numpy(random.integers(-1, 3, (rows, longest)))
    part_BS[torch.arange(longest) >= torch.tensor(lengths)[:, None]] = -1
    mixed_BSN = mixed(member_EN, u_BSN, part_BS, alpha)
    for row, length in enumerate(lengths):
        counted = [t for t in range(length) if part_BS[row, t] >= 0]
        g_SN = nn.functional.silu(u_BSN[row, :length]).tolist()
        expected = slow(member_EN, g_SN, counted, alpha)
        np.testing.assert_allclose(mixed_BSN[row, :length].numpy(), expected, rtol=2e-6, atol=1e-7)


def test_the_content_of_the_padding_changes_nothing() -> None:
    member_EN = np.array([[True, False, True], [False, True, True]])
    u_BSN = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(1))
    part_BS = torch.tensor([[1, 0, -1, -1]])
    changed_BSN = u_BSN.clone()
    changed_BSN[:, 3] = torch.inf
    kept, changed = mixed(member_EN, u_BSN, part_BS), mixed(member_EN, changed_BSN, part_BS)
    assert torch.equal(kept[:, :3], changed[:, :3])


def test_a_row_that_has_stopped_is_left_alone_and_stays_finite() -> None:
    u_BSN = torch.randn(2, 1, 3)
    scaled = mixed(np.ones((2, 3), bool), u_BSN, torch.tensor([[2], [-1]]))
    assert torch.equal(scaled[1], nn.functional.silu(u_BSN[1]))
    assert not torch.equal(scaled[0], nn.functional.silu(u_BSN[0]))


def test_one_emotion_alone_is_steered_with_the_full_gain_whatever_its_evidence() -> None:
    u_BSN = torch.randn(2, 3, 4)
    member_EN = np.array([[True, False, True, False]])
    expected = nn.functional.silu(u_BSN) * torch.tensor([1 + ALPHA, 1, 1 + ALPHA, 1])
    torch.testing.assert_close(mixed(member_EN, u_BSN, torch.zeros(2, 3, dtype=torch.int8)), expected)


def test_an_emotion_without_neurons_in_the_layer_takes_no_share() -> None:
    u_BSN = torch.randn(2, 3, 4)
    parts = torch.zeros(2, 3, dtype=torch.int8)
    two = np.array([[True, False, True, False], [False, True, True, False]])
    three = np.concatenate([two, np.zeros((1, 4), bool)])
    assert torch.equal(mixed(two, u_BSN, parts), mixed(three, u_BSN, parts))


def test_a_bf16_gate_is_weighed_in_float32_and_rounded_once() -> None:
    u_BSN = torch.randn(1, 900, 4).bfloat16()
    member_EN = np.array([[True, True, False, False], [False, False, True, True]])
    scaled = mixed(member_EN, u_BSN, torch.zeros(1, 900, dtype=torch.int8))
    g = nn.functional.silu(u_BSN)  # as the model's own activation gives it, in bf16
    q = [g[0, :, :2].double().mean(), g[0, :, 2:].double().mean()]
    w = (torch.tensor(q) / TAU).softmax(0)
    gains = (1 + ALPHA * w).float().repeat_interleave(2)
    assert torch.equal(scaled, (g.float() * gains).bfloat16())


def test_mixing_without_announced_positions_is_an_error() -> None:
    gate = one_gate(3)
    mix = Mix([gate], np.ones((2, 1, 3), bool), ALPHA, TAU)
    with mix.hooks(), pytest.raises(RuntimeError, match="before `begin_forward`"):
        gate.activation(torch.zeros(1, 2, 3))
    mix.begin_forward(TokenPositions.padded(torch.zeros(1, 5)))
    with mix.hooks(), pytest.raises(RuntimeError, match="before `begin_forward`"):
        gate.activation(torch.zeros(1, 2, 3))


def test_masks_of_another_model_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\) for gates of \(1, 3\)"):
        Mix([one_gate(3)], np.ones((5, 2, 3), bool), ALPHA, TAU)


def test_experts_are_refused_by_name() -> None:
    experts = Gate(0, nn.SiLU(), nn.ParameterDict({"down_proj": torch.zeros(2, 4, 3)}), experts=2)
    with pytest.raises(TypeError, match="experts"):
        Mix([experts], np.ones((2, 1, 6), bool), ALPHA, TAU)
