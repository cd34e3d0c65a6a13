"""A walk over the registry of models that names what an entry forgot, without loading a model."""

from __future__ import annotations

from inspect import isabstract

import pytest

from esn_dist.models.loading import adapter_class
from esn_dist.sweep.model_catalog import BUILTIN_ADAPTERS, GENERIC, MODELS
from esn_dist.testing.models import AudioLMConformance
from tests.models import test_audio_flamingo_3, test_generic, test_qwen2_5_omni
from tests.models.kimi_audio import test_against_the_maths

TESTED = (test_audio_flamingo_3, test_generic, test_qwen2_5_omni, test_against_the_maths)
"""The modules that test an adapter; each has a class `TestConformance`."""


@pytest.mark.parametrize("name", BUILTIN_ADAPTERS)
def test_no_adapter_forgets_what_another_module_needs(name: str) -> None:
    entry = BUILTIN_ADAPTERS[name]
    adapter = adapter_class(entry)
    assert not isabstract(adapter), f"not defined: {sorted(adapter.__abstractmethods__)}"
    assert getattr(adapter, "settings", None) == entry.settings, "`settings` is not that of its entry"
    assert entry.architectures or name == GENERIC, "no architecture of a checkpoint leads to it"
    classes = [module.TestConformance for module in TESTED]
    assert all(issubclass(tested, AudioLMConformance) for tested in classes)
    assert adapter in [tested.adapter for tested in classes], "no class inherits AudioLMConformance for it"


@pytest.mark.parametrize("name", MODELS)
def test_no_model_forgets_what_a_plan_needs(name: str) -> None:
    entry = MODELS[name]
    adapter_class(entry.adapter)
    assert entry.source, "no `source`: the model cannot be downloaded"
    assert entry.layers > 0 and entry.width > 0, "no gates"
    assert entry.width % (entry.experts or 1) == 0, "`width` is not that of all experts together"
    assert entry.dtype in ("float32", "bfloat16", "float16")


def test_no_two_adapters_claim_an_architecture() -> None:
    claimed = [start for entry in BUILTIN_ADAPTERS.values() for start in entry.architectures]
    assert [(a, b) for a in claimed for b in claimed if a is not b and a.startswith(b)] == []
