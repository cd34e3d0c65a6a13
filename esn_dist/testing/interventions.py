"""Tests that the gate transform of every intervention type must pass: inherit the class and name the type.

    from esn_dist.testing.interventions import InterventionConformance

    class TestMine(InterventionConformance):
        entry = MINE

A small random decoder of transformers' own class runs on a CPU; no model is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pkgutil import resolve_name

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from transformers import Qwen2Config, Qwen2Model

from esn_dist.gates.find import find_gates
from esn_dist.gates.positions import TokenPositions
from esn_dist.gates.protocols import GateTransform
from esn_dist.gates.scale import ScaleMethod
from esn_dist.gates.transform import GateTransformBuilder, TransformRequest
from esn_dist.inference.packed.elementwise_ops import silu_and_mul
from esn_dist.sweep.interventions import InterventionType

LAYERS, NEURONS, WIDTH, MASKS = 3, 24, 16, 3
LENGTHS = (5, 2, 7)
HIDDEN_TOLERANCE = 1e-5  # of hidden states, absolute and relative: float32 sums in another order


class InterventionConformance:
    """The promises of a gate transform.

    Attributes:
        entry: the type under test, built by its own `transform`.
        gain: of the tests; a type with a fixed gain is tested with that one.
    """

    entry: InterventionType
    gain: float = 0.75

    @pytest.fixture
    def decoder(self) -> Qwen2Model:
        """Qwen2 in float32; its weights are spread enough for gates to open and close."""
        torch.manual_seed(0)
        config = Qwen2Config(
            vocab_size=8, hidden_size=WIDTH, intermediate_size=NEURONS, num_hidden_layers=LAYERS,
            num_attention_heads=2, num_key_value_heads=1,
        )  # fmt: skip
        model = Qwen2Model(config)
        model.eval()
        with torch.no_grad():
            for weight in model.parameters():
                if weight.dim() > 1:
                    weight.normal_(0.0, 0.3)
        return model

    @pytest.fixture
    def masks_ELN(self) -> npt.NDArray[np.bool_]:
        """Masks that overlap; one mask where the type takes no separate ones."""
        masks = MASKS if self.entry.separate_masks else 1
        return np.random.default_rng(1).random((masks, LAYERS, NEURONS)) < 0.3

    @pytest.fixture(params=["fold", "gate"])
    def scaling(self, request: pytest.FixtureRequest) -> ScaleMethod:
        method: ScaleMethod = request.param
        return method

    @property
    def tested_gain(self) -> float:
        return self.gain if self.entry.fixed_gain is None else self.entry.fixed_gain

    def build(
        self, decoder: Qwen2Model, masks_ELN: npt.NDArray[np.bool_], scaling: ScaleMethod, gain: float
    ) -> GateTransform:
        """The transform of a cell with the type's default parameters."""
        (parameters,) = self.entry.combinations({})
        request = TransformRequest(find_gates(decoder), masks_ELN, gain, parameters, scaling, kernels=False)
        build: GateTransformBuilder = resolve_name(self.entry.transform)
        return build(request)

    def test_a_gain_changes_hidden_states(
        self, decoder: Qwen2Model, masks_ELN: npt.NDArray[np.bool_], scaling: ScaleMethod
    ) -> None:
        transform = self.build(decoder, masks_ELN, scaling, self.tested_gain)
        changed, before = hidden_states(decoder, batch(), transform), hidden_states(decoder, batch(), None)
        assert all((a - b).abs().max() > 1e-3 for a, b in zip(changed, before, strict=True))

    def test_a_gain_of_zero_changes_no_bit(
        self, decoder: Qwen2Model, masks_ELN: npt.NDArray[np.bool_], scaling: ScaleMethod
    ) -> None:
        transform = self.build(decoder, masks_ELN, scaling, 0.0)
        assert_equal_bits(hidden_states(decoder, batch(), transform), hidden_states(decoder, batch(), None))

    def test_masks_without_neurons_change_no_bit(
        self, decoder: Qwen2Model, masks_ELN: npt.NDArray[np.bool_], scaling: ScaleMethod
    ) -> None:
        transform = self.build(decoder, np.zeros_like(masks_ELN), scaling, self.tested_gain)
        assert_equal_bits(hidden_states(decoder, batch(), transform), hidden_states(decoder, batch(), None))

    def test_an_utterance_has_the_same_hidden_states_alone_and_in_a_batch(
        self, decoder: Qwen2Model, masks_ELN: npt.NDArray[np.bool_], scaling: ScaleMethod
    ) -> None:
        transform = self.build(decoder, masks_ELN, scaling, self.tested_gain)
        batched = hidden_states(decoder, batch(), transform)
        for row, embedded_SD in enumerate(batch()):
            (alone,) = hidden_states(decoder, [embedded_SD], transform, row)
            torch.testing.assert_close(alone, batched[row], atol=HIDDEN_TOLERANCE, rtol=HIDDEN_TOLERANCE)

    def test_folding_equals_scaling_at_the_gate(self, decoder: Qwen2Model, masks_ELN: npt.NDArray[np.bool_]) -> None:
        """A type that always acts at the gate ignores the method, which this shows too."""
        folded, scaled = (
            hidden_states(decoder, batch(), self.build(decoder, masks_ELN, method, self.tested_gain))
            for method in ("fold", "gate")
        )
        for actual, expected in zip(folded, scaled, strict=True):
            torch.testing.assert_close(actual, expected, atol=HIDDEN_TOLERANCE, rtol=HIDDEN_TOLERANCE)

    def test_after_the_block_the_model_is_as_before_even_after_an_error(
        self, decoder: Qwen2Model, masks_ELN: npt.NDArray[np.bool_], scaling: ScaleMethod
    ) -> None:
        weights = {name: weight.clone() for name, weight in decoder.state_dict().items()}
        before = hidden_states(decoder, batch(), None)
        transform = self.build(decoder, masks_ELN, scaling, self.tested_gain)
        with pytest.raises(ZeroDivisionError), active(transform):
            raise ZeroDivisionError
        assert all(torch.equal(weight, weights[name]) for name, weight in decoder.state_dict().items())
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in decoder.modules())
        assert_equal_bits(hidden_states(decoder, batch(), None), before)

    def test_a_transform_can_be_applied_again(
        self, decoder: Qwen2Model, masks_ELN: npt.NDArray[np.bool_], scaling: ScaleMethod
    ) -> None:
        transform = self.build(decoder, masks_ELN, scaling, self.tested_gain)
        assert_equal_bits(hidden_states(decoder, batch(), transform), hidden_states(decoder, batch(), transform))

    def test_an_observer_does_the_same_with_and_without_hooks(
        self, decoder: Qwen2Model, masks_ELN: npt.NDArray[np.bool_]
    ) -> None:
        """The packed engine calls no modules: it passes u and up through `transform_gate`."""
        observer = self.build(decoder, masks_ELN, "gate", self.tested_gain).observer()
        if observer is None:
            pytest.skip("the type needs no observer")
        gate = find_gates(decoder)[1]
        u_BSN, up_BSN = torch.randn(2, 2, 4, NEURONS, generator=torch.Generator().manual_seed(2))
        observer.begin_forward(TokenPositions.padded(torch.tensor([[0, 0, 1, -1], [1, 1, 0, 0]])))
        with observer.hooks():
            expected_TN = (gate.activation(u_BSN) * up_BSN).flatten(0, 1)
        gate_up_TM = torch.cat([u_BSN, up_BSN], dim=-1).flatten(0, 1)
        actual_TN = observer.transform_gate(1, gate_up_TM, silu_and_mul)
        torch.testing.assert_close(actual_TN, expected_TN, atol=HIDDEN_TOLERANCE, rtol=HIDDEN_TOLERANCE)


def batch() -> list[Tensor]:
    """Input embeddings [S, D] of utterances of unequal lengths."""
    draw = torch.Generator().manual_seed(3)
    return [torch.randn(length, WIDTH, generator=draw) for length in LENGTHS]


def hidden_states(
    decoder: Qwen2Model, embedded: list[Tensor], transform: GateTransform | None, row: int | None = None
) -> list[Tensor]:
    """Hidden states [S, D] of each utterance after one padded forward call.

    Args:
        row: of the whole batch, where `embedded` is that row alone; its observer is the batch's, split.
    """
    embedded_BSD = torch.nn.utils.rnn.pad_sequence(embedded, batch_first=True)
    lengths = torch.tensor([len(embedded_SD) for embedded_SD in embedded])
    counted_BS = torch.arange(embedded_BSD.shape[1]) < lengths[:, None]
    positions = TokenPositions.padded(torch.where(counted_BS, 0, -1))
    with active(transform, positions, row), torch.no_grad():
        hidden_BSD: Tensor = decoder(inputs_embeds=embedded_BSD).last_hidden_state
    return [hidden_SD[:length] for hidden_SD, length in zip(hidden_BSD, lengths.tolist(), strict=True)]


@contextmanager
def active(
    transform: GateTransform | None, positions: TokenPositions | None = None, row: int | None = None
) -> Iterator[None]:
    """A transform applied and observing for the length of a block, as in an engine that calls modules."""
    if transform is None:
        yield
        return
    observer = transform.observer()
    if observer is not None and row is not None:
        observer = observer.split(row, row + 1)
    with transform.applied(), observer.hooks() if observer else nullcontext():
        if observer and positions:
            observer.begin_forward(positions)
        yield


def assert_equal_bits(actual: list[Tensor], expected: list[Tensor]) -> None:
    assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))
