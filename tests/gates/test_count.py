"""Counts equal those of a naive loop over positions, for any batch, parts and number of calls."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor, nn
from torch.nn.functional import silu

from esn_dist.gates.count import ActivationCounter
from esn_dist.gates.find import find_gates
from esn_dist.gates.positions import TokenPositions

PARTS = 3


def naive(decoder: Any, ids_S: Tensor, part_S: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
    """K[part, layer, neuron] of one sequence: forward hooks that keep g, then three plain loops."""
    kept: list[Tensor] = []
    handles = [
        layer.mlp.gate_proj.register_forward_hook(lambda module, args, u_BSN: kept.append(silu(u_BSN[0])))
        for layer in decoder.layers
    ]
    with torch.no_grad():
        decoder(input_ids=ids_S[None])
    for handle in handles:
        handle.remove()
    K = np.zeros((PARTS, len(kept), kept[0].shape[1]), np.int64)
    for layer, g_SN in enumerate(kept):
        for position, part in enumerate(part_S):
            if part >= 0:
                K[part, layer] += (g_SN[position] > 0).numpy()
    return K


@settings(max_examples=15)
@given(hnp.arrays(np.int8, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.integers(-1, PARTS - 1)))
def test_counts_equal_a_naive_hooks(shared: Any, part_BS: npt.NDArray[np.int8]) -> None:
    batch, length = part_BS.shape
    ids_BS = torch.randint(50, (batch, length), generator=torch.Generator().manual_seed(length))
    counter = ActivationCounter(find_gates(shared), batch, PARTS)
    with counter.hooks(), torch.no_grad():
        counter.begin_forward(TokenPositions.padded(torch.as_tensor(part_BS)))
        shared(input_ids=ids_BS)
    K, T = counter.result()
    assert K.dtype == T.dtype == np.uint16
    for row in range(batch):
        assert np.array_equal(K[row], naive(shared, ids_BS[row], part_BS[row]))
        assert T[row].tolist() == [(part_BS[row] == part).sum() for part in range(PARTS)]


def test_counts_of_several_calls_add_up(decoder: Any) -> None:
    ids_BS = torch.arange(12).view(2, 6)
    part_BS = torch.zeros(2, 6, dtype=torch.int8)
    once, twice = (ActivationCounter(find_gates(decoder), 2, PARTS) for _ in range(2))
    with torch.no_grad(), once.hooks():
        once.begin_forward(TokenPositions.padded(part_BS))
        decoder(input_ids=ids_BS)
    with torch.no_grad(), twice.hooks():
        for _ in range(2):
            twice.begin_forward(TokenPositions.padded(part_BS))
            decoder(input_ids=ids_BS)
    assert np.array_equal(twice.result()[0], 2 * once.result()[0])
    assert np.array_equal(twice.result()[1], 2 * once.result()[1])


def test_after_the_block_nothing_is_counted_any_more(decoder: Any) -> None:
    counter = ActivationCounter(find_gates(decoder), 1, PARTS)
    with counter.hooks(), torch.no_grad():
        counter.begin_forward(TokenPositions.padded(torch.zeros(1, 2)))
        decoder(input_ids=torch.tensor([[1, 2]]))
    before = counter.result()[0].copy()
    with torch.no_grad():
        decoder(input_ids=torch.tensor([[3, 4]]))
    assert np.array_equal(counter.result()[0], before)


def test_a_gate_at_exactly_zero_does_not_count() -> None:
    """K counts g > 0; zeros come from padding, from underflow and from sparse gates."""
    toy = Toy()
    counter = ActivationCounter(find_gates(toy), 1, 1)
    with counter.hooks():
        counter.begin_forward(TokenPositions.padded(torch.zeros(1, 3)))
        toy(torch.tensor([[[0.0, -1.0], [0.0, 2.0], [-0.0, 3.0]]]))
    assert counter.result()[0].tolist() == [[[[0, 2]]]]


def test_a_forward_call_whose_positions_were_not_announced_is_an_error(decoder: Any) -> None:
    counter = ActivationCounter(find_gates(decoder), 1, PARTS)
    with counter.hooks(), pytest.raises(RuntimeError, match="before `begin_forward`"), torch.no_grad():
        decoder(input_ids=torch.tensor([[1, 2]]))


def test_gates_that_were_never_called_are_an_error_not_zeros(decoder: Any) -> None:
    """A fused kernel that replaces the MLP never calls the activation."""
    counter = ActivationCounter(find_gates(decoder), 1, PARTS)
    decoder.layers[1].mlp.forward = lambda x: x
    with counter.hooks(), torch.no_grad():
        counter.begin_forward(TokenPositions.padded(torch.zeros(1, 2)))
        decoder(input_ids=torch.tensor([[1, 2]]))
    with pytest.raises(RuntimeError, match="never called"):
        counter.result()


def test_more_positions_than_the_store_holds_are_refused() -> None:
    toy = Toy()
    counter = ActivationCounter(find_gates(toy), 1, 1)
    with counter.hooks():
        counter.begin_forward(TokenPositions.padded(torch.zeros(1, 65_535)))
        toy(torch.ones(1, 65_535, 2))
    with pytest.raises(OverflowError, match="65535"):
        counter.result()


class Toy(nn.Module):
    """One gated layer of two neurons whose u is the input itself."""

    def __init__(self) -> None:
        super().__init__()
        mlp = nn.Module()
        mlp.gate_proj, mlp.up_proj, mlp.down_proj = nn.Identity(), nn.Identity(), nn.Linear(2, 2, bias=False)
        mlp.act_fn = self.activation = nn.SiLU()
        layer = nn.Module()
        layer.mlp = mlp
        self.layers = nn.ModuleList([layer])

    def forward(self, u_BSN: Tensor) -> Tensor:
        g_BSN: Tensor = self.activation(u_BSN)
        return g_BSN
