"""Each Triton kernel equals its reference in torch: odd sizes, rows of different lengths, u and up side by side.

On a machine with a GPU and a C compiler: `python -m pytest tests/inference/test_kernels.py`.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from esn_dist.gates.count import ActivationCounter
from esn_dist.gates.find import Gate
from esn_dist.gates.mix import Mix
from esn_dist.gates.positions import TokenPositions
from esn_dist.inference.packed import elementwise_ops
from esn_dist.inference.packed.cache import PackedLayout

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA kernels need a GPU"),
    pytest.mark.skipif(find_spec("triton") is None, reason="CUDA kernels need triton, which torch brings on a GPU"),
]

DEVICE = "cuda"
LENGTHS = (1, 17, 40, 3, 16)
NEURONS = 301
BITS = {torch.bfloat16: 7, torch.float16: 10, torch.float32: 18}  # of a number that must agree
DTYPES = pytest.mark.parametrize("dtype", BITS, ids=str)


def drawn(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE, dtype)


def packed_positions() -> TokenPositions:
    """Packed rows whose positions are of every part and of none; one row has none that counts."""
    part_T = torch.randint(-1, 3, (sum(LENGTHS),), generator=torch.Generator().manual_seed(1))
    part_T[sum(LENGTHS[:3]) : sum(LENGTHS[:4])] = -1
    cu_seqlens = torch.tensor([0, *LENGTHS]).cumsum(0)
    return TokenPositions(part_T.to(DEVICE), cu_seqlens.to(DEVICE))


def gate(width: int = NEURONS) -> Gate:
    return Gate(0, nn.SiLU(), nn.Linear(width, 2, device=DEVICE))


def assert_within_roundings(ours: Tensor, theirs: Tensor, roundings: int = 1, equal: float = 0.99) -> None:
    """Equal but for the last bit of a few elements: sums have another order, and exp another last bit.

    Args:
        equal: share of the elements that are equal, in 16 bits.
    """
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    torch.testing.assert_close(ours, theirs, rtol=roundings * 2.0 ** -BITS[ours.dtype], atol=1e-5)
    if ours.dtype != torch.float32:
        assert (ours == theirs).float().mean() > equal


@DTYPES
@pytest.mark.parametrize("width", [56, 257, 3584])
def test_rms_norm(dtype: torch.dtype, width: int) -> None:
    from esn_dist.inference.packed.kernels import rms_norm

    x_TD, weight_D = 3 * drawn(19, width, dtype=dtype), drawn(width, dtype=dtype, seed=1)
    assert_within_roundings(rms_norm(x_TD, weight_D, 1e-6), elementwise_ops.rms_norm(x_TD, weight_D, 1e-6), roundings=2)


@DTYPES
@pytest.mark.parametrize("neurons", [1, NEURONS, 2_049])
def test_silu_and_mul(dtype: torch.dtype, neurons: int) -> None:
    from esn_dist.gates.kernels import silu_and_mul

    gate_up_TM = 4 * drawn(33, 2 * neurons, dtype=dtype)
    assert_within_roundings(silu_and_mul(gate_up_TM), elementwise_ops.silu_and_mul(gate_up_TM), roundings=2)


@DTYPES
@pytest.mark.parametrize(("heads", "kv_heads", "width"), [(28, 4, 128), (7, 1, 8), (3, 3, 64), (0, 5, 16)])
def test_apply_rope_and_write_kv(dtype: torch.dtype, heads: int, kv_heads: int, width: int) -> None:
    """The kernel rounds once, where modules of torch round each product and their sum."""
    from esn_dist.inference.packed.kernels import apply_rope_and_write_kv

    slots, before = 64, 5
    positions = packed_positions()
    position_T = torch.arange(len(positions.part_T), device=DEVICE) - positions.cu_seqlens[positions.row_T] + before
    layout = PackedLayout(position_T, positions.row_T, positions.cu_seqlens.int(), max(LENGTHS), slots)
    qkv_TQ = drawn(len(position_T), (heads + 2 * kv_heads) * width, dtype=dtype)
    angles_SW = 3 * drawn(slots, width // 2, seed=2)
    cos_sin_2SW = torch.stack([angles_SW.cos().repeat(1, 2), angles_SW.sin().repeat(1, 2)]).to(dtype)
    kv_cache, expected_cache = (
        torch.zeros(2, len(LENGTHS), slots, kv_heads, width, device=DEVICE, dtype=d) for d in (dtype, torch.float32)
    )
    q_THW = apply_rope_and_write_kv(qkv_TQ, cos_sin_2SW, layout, kv_cache, heads, kv_heads)
    expected_THW = elementwise_ops.apply_rope_and_write_kv(
        qkv_TQ.float(), cos_sin_2SW.float(), layout, expected_cache, heads, kv_heads
    )
    if heads:
        assert_within_roundings(q_THW, expected_THW.to(dtype))
    assert_within_roundings(kv_cache[0], expected_cache[0].to(dtype))
    assert torch.equal(kv_cache[1], expected_cache[1].to(dtype)), "values are moved, not rotated"
    assert kv_cache.any() and not kv_cache[:, :, :before].any(), "something was written before the rows' first tokens"


@DTYPES
@pytest.mark.parametrize("apart", [0, 13])
def test_count_positive(dtype: torch.dtype, apart: int) -> None:
    """`apart`: elements between a row's last neuron and the next row's first one."""
    from esn_dist.gates.kernels import count_positive

    positions = packed_positions()
    u_TN = drawn(len(positions.part_T), NEURONS + apart, dtype=dtype)[:, :NEURONS]
    K_BPN = torch.ones(len(LENGTHS), 3, NEURONS, dtype=torch.int32, device=DEVICE)
    count_positive(u_TN, positions.part_T, positions.cu_seqlens, K_BPN)
    for row, (start, stop) in enumerate(zip(positions.cu_seqlens[:-1], positions.cu_seqlens[1:], strict=True)):
        for part in range(3):
            mine = u_TN[start:stop][positions.part_T[start:stop] == part]
            assert torch.equal(K_BPN[row, part], 1 + (mine > 0).sum(0).int())


def test_a_long_row_s_counts_do_not_run_into_each_other() -> None:
    """Audio and text share an integer: more than 32,767 of either must not change the other."""
    from esn_dist.gates.kernels import count_positive

    part_T = torch.tensor([0] * 24_000 + [1] * 41_000 + [2] * 5, device=DEVICE)
    K_BPN = torch.zeros(1, 3, 2, dtype=torch.int32, device=DEVICE)
    u_TN = torch.tensor([[1.0, -1.0]], device=DEVICE).repeat(len(part_T), 1)
    count_positive(u_TN, part_T, torch.tensor([0, len(part_T)], device=DEVICE), K_BPN)
    assert K_BPN.tolist() == [[[24_000, 0], [41_000, 0], [5, 0]]]


@DTYPES
def test_counting_in_the_same_kernel_equals_counting_and_multiplying(dtype: torch.dtype) -> None:
    positions, gate_up_TM = packed_positions(), 2 * drawn(sum(LENGTHS), 2 * NEURONS, dtype=dtype)
    results = []
    for kernels in (True, False):
        counter = ActivationCounter([gate()], len(LENGTHS), 3, kernels)
        for _ in range(2):  # counts of calls add up
            counter.begin_forward(positions)
            h_TN = counter.transform_gate(0, gate_up_TM, elementwise_ops.silu_and_mul)
        results.append((h_TN, *counter.result()))
    (h_TN, K, T), (expected_TN, expected_K, expected_T) = results
    assert_within_roundings(h_TN, expected_TN, roundings=2)
    assert np.array_equal(K, expected_K) and np.array_equal(T, expected_T) and K.any()


def test_neurons_that_are_not_contiguous_are_refused() -> None:
    from esn_dist.gates.kernels import count_positive

    positions = packed_positions()
    K_BPN = torch.zeros(len(LENGTHS), 3, NEURONS, dtype=torch.int32, device=DEVICE)
    with pytest.raises(ValueError, match="contiguous"):
        count_positive(drawn(NEURONS, len(positions.part_T)).T, positions.part_T, positions.cu_seqlens, K_BPN)


@DTYPES
def test_mean_and_scale_of_columns(dtype: torch.dtype) -> None:
    from esn_dist.gates.kernels import mean_of_columns, scale_columns

    positions, columns_C = packed_positions(), torch.arange(2, NEURONS, 7, device=DEVICE)
    u_TN = drawn(len(positions.part_T), 2 * NEURONS, dtype=dtype)[:, :NEURONS]
    mean_BC = mean_of_columns(u_TN, columns_C, positions.part_T, positions.cu_seqlens)
    g_TC = silu(u_TN[:, columns_C]).float().where(positions.part_T[:, None] >= 0, 0.0)
    torch.testing.assert_close(mean_BC, positions.sums(g_TC) / positions.counted_B1.clamp(min=1), rtol=1e-3, atol=1e-4)
    assert not mean_BC[3].any(), "a row without a position has no evidence"

    factor_BC = 1 + drawn(len(LENGTHS), len(columns_C), seed=3).abs()
    h_TN = drawn(len(positions.part_T), NEURONS, dtype=dtype, seed=4)
    expected_TN = h_TN.clone()
    expected_TN[:, columns_C] = (h_TN[:, columns_C].float() * factor_BC[positions.row_T]).to(dtype)
    scale_columns(h_TN, columns_C, positions.cu_seqlens, factor_BC)
    assert torch.equal(h_TN, expected_TN)


@DTYPES
def test_mix_by_kernels_is_mix_in_torch(dtype: torch.dtype) -> None:
    positions, gate_up_TM = packed_positions(), 2 * drawn(sum(LENGTHS), 2 * NEURONS, dtype=dtype)
    member_ELN = np.random.default_rng(0).random((3, 1, NEURONS)) < 0.3
    results = []
    for kernels in (True, False):
        mix = Mix([gate()], member_ELN, 0.8, 0.05, kernels)
        mix.begin_forward(positions)
        results.append(mix.transform_gate(0, gate_up_TM, elementwise_ops.silu_and_mul))
    by_kernels_TN, in_torch_TN = results
    assert_within_roundings(by_kernels_TN, in_torch_TN, roundings=2, equal=0.95)
    assert not torch.equal(by_kernels_TN, elementwise_ops.silu_and_mul(gate_up_TM)), "Mix did nothing"
