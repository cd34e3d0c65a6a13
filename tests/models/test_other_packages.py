"""A model of another installed package is planned, examined, loaded and identified; transformers has no such class."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from importlib import invalidate_caches
from pathlib import Path
from typing import Any

import pytest

from esn_dist.errors import UserError
from esn_dist.inference.selfcheck import self_check
from esn_dist.models.doctor import diagnose, doctor_text
from esn_dist.models.download import locate_checkpoint, package_folder
from esn_dist.models.loading import config_structure, load, spec_of
from esn_dist.models.resolve import adapter_of, gate_shape, model_attributes
from esn_dist.runner.prepare import prepare_model
from esn_dist.store.create import create_root
from esn_dist.store.folder import StoreFolder
from esn_dist.sweep.model_catalog import MODELS
from esn_dist.sweep.plan import plan
from esn_dist.sweep.spec import ModelSpec, Sweep

SOURCE = """
from pathlib import Path
from esn_dist.models.audio_lm import AudioLM
from esn_dist.models.download import package_folder
from esn_dist.models.qwen2_5_omni.adapter import Qwen25Omni
from esn_dist.sweep.model_catalog import AdapterEntry, ModelEntry

class UnheardLM(Qwen25Omni):
    transformers_class = classmethod(AudioLM.transformers_class.__func__)

    @classmethod
    def load(cls, source, dtype, placement, settings):
        return super().load(package_folder("package:models/tiny/checkpoint"), dtype, placement, settings)

ADAPTER = AdapterEntry("unheard", "lalm_extra:UnheardLM", ("Unheard",), "You are a helpful assistant.")
MODEL = ModelEntry(ADAPTER, str(Path(__file__).parent / "weights"), layers=4, width=256, dtype="float32")
"""
NAME = "unheard-1b"


def install(site: Path, version: str = "1.0") -> None:
    """The package as pip leaves it, with a checkpoint of an architecture that transformers does not know."""
    for old in site.glob("*.dist-info"):
        shutil.rmtree(old)
    (site / "lalm_extra.py").write_text(SOURCE, encoding="utf-8")
    metadata = site / f"lalm_extra-{version}.dist-info"
    metadata.mkdir()
    text = f"Metadata-Version: 2.1\nName: lalm-extra\nVersion: {version}\n"
    (metadata / "METADATA").write_text(text, encoding="utf-8")
    (metadata / "entry_points.txt").write_text(f"[esn_dist.models]\n{NAME} = lalm_extra:MODEL\n", encoding="utf-8")
    invalidate_caches()
    MODELS.__dict__.pop("_entry_points", None)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    shipped = package_folder("package:models/tiny/checkpoint")
    assert shipped
    (tmp_path / "weights").mkdir()
    shutil.copy(shipped / "model.safetensors", tmp_path / "weights")
    config = json.dumps({"architectures": ["UnheardOfForAudio"], "model_type": "unheard_of"})
    (tmp_path / "weights" / "config.json").write_text(config, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    install(tmp_path)
    yield tmp_path
    sys.modules.pop("lalm_extra", None)
    monkeypatch.undo()
    MODELS.__dict__.pop("_entry_points", None)
    MODELS._loaded.pop(NAME, None)


def test_a_sweep_may_name_it_and_a_misspelt_name_is_answered_with_it(site: Path) -> None:
    corpus = {"type": "synthetic", "condition": "studio", "name": "c", "emotions": ["anger", "joy"]}
    study = {"selectors": ["MAD"], "fractions": "1 %", "interventions": ["deactivate"]}
    given: dict[str, Any] = {"name": "test", "seed": 1, "corpora": [corpus], "studies": {"s": study}}
    planned = plan(Sweep.model_validate({**given, "models": [NAME]}))
    assert {cell.model for cell in planned.cells} == {NAME}
    with pytest.raises(UserError, match=f"Did you mean '{NAME}'"):
        diagnose("unheard-1bb")


def test_doctor_takes_its_gates_from_its_entry_and_deep_loads_and_checks_it(site: Path) -> None:
    facts = diagnose(NAME)
    assert (facts["layers"], facts["width"], facts["supported"], facts["weights"]["files"]) == (4, 256, True, 1)
    assert "supported   yes" in doctor_text(facts)
    claims = self_check(NAME)
    assert claims["gates_equal_entry"] and all(claims.values()), claims


def test_its_folder_is_claimed_by_its_adapter_and_without_an_entry_the_missing_class_is_named(site: Path) -> None:
    folder = site / "weights"
    assert adapter_of(spec_of(str(folder)), folder).name == "unheard"
    with pytest.raises(UserError, match=r"has no class .*UnheardOfForAudio") as error:
        config_structure(json.loads((folder / "config.json").read_text()), str(folder), sparse=False)
    assert "AudioLM.structure" in str(error.value)


def test_name_version_and_source_enter_what_the_store_and_the_feature_cache_know_of_it(site: Path) -> None:
    spec = ModelSpec.model_validate(NAME)
    folder = locate_checkpoint(spec)
    assert gate_shape(spec, folder) == (4, 256, 0)
    provider = model_attributes(spec, folder)["provider"]
    assert provider.startswith("lalm-extra==1.0:") and load(spec, "cpu").provider == provider
    install(site, "1.1")
    assert model_attributes(spec, folder)["provider"].startswith("lalm-extra==1.1:")
    (site / "lalm_extra.py").write_text(SOURCE + "\n# edited\n")
    assert model_attributes(spec, folder)["provider"].split(":")[1] != provider.split(":")[1]


def test_workers_are_told_the_version_that_the_sweep_was_planned_with(site: Path) -> None:
    corpus = {"type": "synthetic", "condition": "studio", "name": "c", "emotions": ["anger", "joy"]}
    study = {"selectors": ["MAD"], "fractions": "1 %", "interventions": ["deactivate"]}
    given: dict[str, Any] = {"name": "t", "seed": 1, "corpora": [corpus], "studies": {"s": study}, "models": [NAME]}
    sweep, folder = Sweep.model_validate(given), StoreFolder(site / "store")
    create_root(folder, {})
    provider = prepare_model(sweep.models[0], plan(sweep), {}, folder).provider
    assert provider.startswith("lalm-extra==1.0:") and load(sweep.models[0], "cpu").provider == provider


def test_models_of_this_package_have_no_provider_so_stores_stay_as_they_are() -> None:
    spec = ModelSpec.model_validate("tiny-qwen2.5-omni")
    assert model_attributes(spec, locate_checkpoint(spec)).keys() == {"system_prompt", "order"}
    assert load(spec, "cpu").provider == ""
