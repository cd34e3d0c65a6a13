"""Figures: what is drawn are the numbers, in the paper's arrangement."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from esn_dist.report.dose_response import axes, curve
from esn_dist.report.figures import accuracies, curves, figures
from esn_dist.report.numbers import decimal_text
from esn_dist.report.results import Results


@pytest.fixture(scope="module")
def drawn(results: Results) -> dict[str, Figure]:
    return dict(figures(results))


def _conact(results: Results) -> xr.Dataset:
    """Studio's ConAct conditions: deactivation and two gains."""
    return _targeted(results, "ConAct")


def _targeted(results: Results, selector: str) -> xr.Dataset:
    """A selector's conditions on studio without 2-Pass."""
    frame = results.frames["tiny", "studio"]
    steerable = (frame["selector"] == selector) & (frame["intervention"] != "two-pass")
    return frame.isel(condition=steerable.values)


def test_figure_1_has_a_row_per_corpus_and_a_column_per_selector(drawn: dict[str, Figure], results: Results) -> None:
    figure = drawn["figure1-tiny-0"]
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert titles == ["MAD, room", "ConAct, room", "MAD, studio", "ConAct, studio"]
    frame = results.frames["tiny", "room"]
    row = (frame["selector"] == "MAD") & (frame["alpha"] == -1) & (frame["source_corpus"] == "room")
    change = frame["change"].isel(condition=int(np.flatnonzero(row.values)[0])).sel(source=["anger", "joy", "sadness"])
    assert [text.get_text() for text in figure.axes[0].texts] == [
        decimal_text(value, 1, signed=True) for value in change.values.ravel()
    ]


def test_there_is_one_figure_1_per_intervention_and_gain(drawn: dict[str, Figure]) -> None:
    titles = [figure.get_suptitle() for name, figure in drawn.items() if name.startswith("figure1")]
    assert titles == [
        f"tiny: {what}, r = 10 %" for what in ("Deactivation", "Targeted steering, α = 0.3", "Targeted steering, α = 1")
    ]


def test_figure_3_has_a_heat_map_per_gain_and_curves(drawn: dict[str, Figure]) -> None:
    name = next(name for name in drawn if name.startswith("figure3-tiny-studio-ConAct") and name.endswith("maps"))
    assert [axis.get_title() for axis in drawn[name].axes if axis.get_title()] == ["α = 0.3", "α = 1"]
    assert name.replace("maps", "curves") in drawn


def test_figure_4_counts_every_neuron_once(drawn: dict[str, Figure], results: Results) -> None:
    axes_of = drawn["figure4-studio-0.1"].axes
    assert [axis.get_title() for axis in axes_of if axis.get_title()] == ["tiny: MAD", "tiny: ConAct"]
    image = np.nan_to_num(np.asarray(axes_of[0].images[0].get_array(), float))
    neurons = results.layers["tiny"]
    chosen = (neurons["selector"] == "MAD") & (neurons["source_corpus"] == "studio")
    np.testing.assert_array_equal(image, neurons.isel(mask=chosen.values).values)


def test_figure_5_names_the_direction(drawn: dict[str, Figure]) -> None:
    assert drawn["figure5-tiny-0"].axes[0].get_title() == "studio → room"


def test_curves_draw_the_effects_along_the_gain_through_zero(results: Results) -> None:
    frame = _conact(results)
    (axis,) = axes(frame)
    assert (axis.name, axis.values, axis.title) == ("alpha", (-1, 0.3, 1), "gain, ConAct, r = 10 %, masks from studio")
    line = curves(frame, axis).axes[0].get_lines()[0]
    expected = frame["self_effect"].sel(bound="point").values.tolist()
    assert list(line.get_xdata()) == [-1, 0, 0.3, 1]  # type: ignore[arg-type]
    assert list(line.get_ydata()) == [expected[0], 0, *expected[1:]]  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "values"), [("fraction", [0.5, 0.01, 0.1]), ("identification_size", [50, 10, 200])])
def test_fractions_and_identification_sizes_are_axes_in_order(results: Results, name: str, values: list[float]) -> None:
    same = {"intervention": ("condition", ["deactivate"] * 3), "alpha": ("condition", [-1.0] * 3)}
    frame = _conact(results).assign_coords({**same, name: ("condition", values)})
    (axis,) = axes(frame)
    assert (axis.name, axis.values, axis.positions) == (name, tuple(sorted(values)), tuple(np.argsort(values)))
    drawn = curves(frame, axis).axes[0].get_lines()[0].get_ydata()
    np.testing.assert_array_equal(drawn, frame["self_effect"].sel(bound="point").values[np.argsort(values)])


def test_figure_2d_has_accuracies_around_the_unmasked_one(results: Results) -> None:
    same = {"intervention": ("condition", ["deactivate"] * 3), "alpha": ("condition", [-1.0] * 3)}
    frame = _conact(results).assign_coords({**same, "identification_size": ("condition", [10, 50, 200])})
    (axis,) = axes(frame)
    plot = accuracies(frame, axis, 70.0).axes[0]
    lines = {line.get_label(): np.asarray(line.get_ydata(), float) for line in plot.get_lines()}
    np.testing.assert_allclose(lines["self"], 70 + frame["self_effect"].sel(bound="point"))
    np.testing.assert_allclose(lines["cross"], 70 + frame["cross_effect"].sel(bound="point"))
    assert set(lines["unmasked"]) == {70.0} and plot.get_ylabel() == "accuracy (%)"


def test_self_accuracy_is_the_unmasked_one_plus_the_effect_on_a_balanced_set(results: Results) -> None:
    """Counted from the answers themselves: the identity that Figure 2d is computed by."""
    answers = results.answers["tiny", "studio"]
    deactivated = (answers.selector == "ConAct") & (answers.intervention == "deactivate")
    codes = np.array([list(answers.emotion.values).index(label) for label in answers.label.values])
    usable = answers.utterance.values != "e00"  # unreadable everywhere
    cells = answers.isel(cell=deactivated.values)
    counted = [
        float((cell.answer.values[0] == codes)[(answers.label == cell.source_emotion.item()).values & usable].mean())
        for _, cell in cells.groupby("cell")
    ]
    row = next(
        r
        for r in results.rows
        if (r.corpus, r.condition.selector, r.condition.intervention) == ("studio", "ConAct", "deactivate")
    )
    base = next(r.accuracy.point for r in results.baselines if (r.corpus, r.emotion) == ("studio", "all"))
    assert base is not None and row.self_effect.point is not None
    assert 100 * np.mean(counted) == pytest.approx(base + row.self_effect.point)


def test_conditions_that_differ_in_two_things_are_no_axis(results: Results) -> None:
    frame = _conact(results).assign_coords(fraction=("condition", [0.1, 0.2, 0.3]))
    assert not list(axes(frame))


def test_an_undefined_readout_has_no_point_at_gain_zero_either(results: Results) -> None:
    frame = _targeted(results, "RND")
    (axis,) = axes(frame)
    assert np.isnan(curve(frame, axis, "gap")[1]).all()
    assert curve(frame, axis, "self_effect")[0] == [-1, 0, 0.3, 1]
