"""`esn_dist.open`: named dimensions, the sweep's own numbers, light, and quick on a full-size store."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import esn_dist
from esn_dist.analysis.measured_effects import EffectSettings, measure
from esn_dist.analysis.summary import effect_rows
from esn_dist.analysis.two_pass import with_two_pass
from esn_dist.errors import UserError
from esn_dist.store import create
from esn_dist.store.folder import StoreFolder
from esn_dist.store.maskfile import read_mask_file
from esn_dist.store.tables import ExclusionTable, UtteranceTable, in_whole_shards
from tests.stored_masks import read_member


def test_a_store_opens_by_its_folder_and_by_its_zarr_and_names_what_it_holds(small_store: Path) -> None:
    for path in (small_store, str(small_store), small_store / "data.zarr"):
        sweep = esn_dist.open(path)
        assert (sweep.models, sweep.corpora) == (("tiny",), ("room", "studio"))
    assert "models tiny; corpora room, studio" in repr(sweep)


def test_dimensions_and_coordinates_are_named(small_store: Path) -> None:
    sweep = esn_dist.open(small_store)
    assert sweep.counts(corpus="room")["K"].dims == ("utterance", "part", "layer", "neuron")
    assert sweep.answers(corpus="room")["logprob"].dims == ("cell", "utterance", "emotion")
    assert sweep.masks()["member"].dims == ("mask", "layer", "neuron")
    probability = sweep.probability(corpus="room")
    assert probability.dims == ("emotion", "layer", "neuron")
    assert list(probability["emotion"].values) == ["anger", "joy", "sadness"]
    assert probability.attrs["identified"] == 30
    assert sweep.texts("base", corpus="room")["text"].dims == ("utterance",)


def test_a_mask_with_the_sweep_s_parameters_is_the_sweep_s_mask(small_store: Path) -> None:
    sweep = esn_dist.open(small_store)
    for selector in ("MAD", "ConAct"):
        result = sweep.mask(selector, "0.1", corpus="studio")
        for emotion in result["emotion"].values:
            stored = read_member(sweep.folder, "tiny", f"{selector}-studio-{emotion}")
            assert (result.sel(emotion=emotion).values == stored).all()


def test_a_mask_with_other_parameters_is_another(small_store: Path) -> None:
    sweep = esn_dist.open(small_store)
    usual = sweep.mask("ConAct", "0.1", corpus="studio")
    assert sweep.mask("ConAct", "0.2", corpus="studio").sum() > usual.sum()
    for options in ({"parts": ["text"]}, {"size": 5}):
        assert (sweep.mask("ConAct", "0.1", corpus="studio", **options) != usual).any()
    scores = sweep.scores("ConAct", corpus="studio")
    assert scores.where(usual).min() >= scores.where(~usual & np.isfinite(scores)).max("neuron").min()


def test_several_corpora_are_identified_over_at_once(small_store: Path) -> None:
    sweep = esn_dist.open(small_store)
    both = sweep.probability(corpus="studio+room", size=20)
    assert both.attrs["corpus"] == "studio+room" and both.attrs["identified"] == 40
    alone = [sweep.identification(corpus=name, size=20).firing() for name in ("studio", "room")]
    K, T = (sum(getattr(firing, name) for firing in alone) for name in ("K", "T"))
    assert (sweep.identification(corpus="studio+room", size=20).firing().K == K).all()
    np.testing.assert_allclose(both.values, K / np.asarray(T).reshape(3, 1, 1))
    with pytest.raises(UserError, match="Did you mean 'room'"):
        sweep.mask("MAD", "0.1", corpus="studio+rom")


def test_effects_are_those_of_the_report(small_store: Path) -> None:
    sweep = esn_dist.open(small_store)
    result = sweep.effects(corpus="studio", draws=200)
    rows = effect_rows([measure(with_two_pass(sweep.answers(corpus="studio").load()), EffectSettings(draws=200))])
    assert result.sizes["condition"] == len(rows) == 3 * 3 + 3 * 2  # and 2-Pass at two gains
    for row in rows:
        where = (result["selector"] == row.condition.selector) & (result["alpha"] == row.condition.alpha)
        where &= result["intervention"] == row.condition.intervention
        effect = result.isel(condition=int(np.flatnonzero(where.values)[0]))
        assert effect["self_effect"].values.tolist() == list(row.self_effect)
        if not row.sources:
            assert np.isnan(effect["gap"]).all()
            assert effect["change"].sel(source="none").mean() == pytest.approx(row.self_effect.point)
        else:
            assert effect["gap"].values.tolist() == list(row.gap)
            change = effect["change"].sel(source=list(result["evaluation"].values)).values
            assert np.trace(change) / 3 == pytest.approx(row.self_effect.point)


def test_exported_masks_come_back(small_store: Path, tmp_path: Path) -> None:
    sweep = esn_dist.open(small_store)
    masks = sweep.masks()
    chosen = masks.isel(mask=((masks["selector"] == "MAD") & (masks["source_corpus"] == "room")).values)
    assert sweep.export_masks(tmp_path / "mad.json", selector=["MAD"], source_corpus=["room"]) == 3
    assert (read_mask_file(tmp_path / "mad.json")["member"].values == chosen["member"].values).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda sweep: sweep.counts(), "the store has several corpora; name one"),
        (lambda sweep: sweep.counts(corpus="studdio"), "Did you mean 'studio'"),
        (lambda sweep: sweep.counts("tin", "room"), "Did you mean 'tiny'"),
        (lambda sweep: sweep.mask("Conact.", "0.1", corpus="room"), "Did you mean 'ConAct'"),
        (lambda sweep: sweep.mask("MAD", "2", corpus="room"), "outside"),
        (lambda sweep: sweep.export_masks("x", source_emotion=["anget"]), "Did you mean 'anger'"),
        (
            lambda sweep: sweep.export_masks("x", selector=["RND"], source_corpus=["room"]),
            "no mask matches all filters",
        ),
    ],
)
def test_unknown_names_are_reported_with_the_nearest_known_name(small_store: Path, call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(UserError, match=message):
        call(esn_dist.open(small_store))


def test_no_store_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no store here"):
        esn_dist.open(tmp_path)


def test_neither_import_nor_use_loads_anything_heavy(small_store: Path) -> None:
    script = (
        "import sys, esn_dist\n"
        "assert not {'numpy', 'xarray', 'zarr'} & sys.modules.keys(), 'import alone is not light'\n"
        f"sweep = esn_dist.open({str(small_store)!r})\n"
        "sweep.counts(corpus='room'), sweep.mask('MAD', '0.1', corpus='room'), sweep.effects(corpus='room', draws=10)\n"
        "heavy = {'torch', 'ray', 'transformers', 'accelerate', 'scipy.stats', 'matplotlib'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_full_size_store_opens_without_reading_the_counts_of_a_gate(tmp_path: Path, opened_files: list[str]) -> None:
    """28 layers of 18,944 gates, 5,120 identification and 2,500 evaluation utterances.

    It opens as many files as a store of one layer and thirty utterances, but for T's, which has a few bytes a shard.
    """
    opened = {}
    for name, sizes in {"small": (1, 8, 20, 10), "large": (28, 18944, 5120, 2500)}.items():
        folder = _store_without_counts(tmp_path / name, *sizes)
        opened_files.clear()
        sweep = esn_dist.open(folder)
        assert sweep.counts()["K"].shape[1:] == (3, *sizes[:2])
        opened[name] = [path for path in opened_files if f"{name}/" in path and "/counts/T/c." not in path]
    assert 20 < len(opened["large"]) == len(opened["small"])
    assert not [path for path in opened["large"] if "/counts/K/c" in path]


def _store_without_counts(root: Path, layers: int, width: int, identification: int, evaluation: int) -> Path:
    emotions = ("anger", "joy", "neutral", "sadness", "surprise")

    def utterances(prefix: str, count: int) -> UtteranceTable:
        names = tuple(f"{prefix}{number}" for number in range(count))
        labels = tuple(emotions[number % 5] for number in range(count))
        rest = (("",) * count, names, (16000,) * count, ("0" * 64,) * count)
        return UtteranceTable(names, names, labels, ((1, 2, 3, 4, 5),) * count, *rest)

    folder = StoreFolder(root)
    create.create_root(folder, {"sweep": "large", "seed": 1})
    pool = in_whole_shards(utterances("i", identification), emotions)
    create.add_corpus(folder, "c", emotions, utterances("e", evaluation), pool, ExclusionTable.empty(), {})
    create.add_model(folder, "m", layers, width, {})
    create.add_counts(folder, "m", "c")
    return root


@pytest.fixture
def opened_files() -> Iterator[list[str]]:
    """Paths of the files that are opened, in every thread."""
    opened, recording = list[str](), True

    def record(event: str, arguments: tuple[object, ...]) -> None:
        if recording and event == "open":
            opened.append(str(arguments[0]))

    sys.addaudithook(record)  # a hook stays as long as the process
    yield opened
    recording = False
