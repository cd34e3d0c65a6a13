"""Mix on a model of experts is refused while it is a plan, with the study's name and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from esn_dist.errors import UserError
from esn_dist.sweep.experts import refuse_on_experts
from esn_dist.sweep.load import load_sweep
from esn_dist.sweep.plan import plan
from esn_dist.sweep.spec import Sweep

SWEEP = """\
name: test
seed: 1
models: [qwen3-omni-30b, qwen2.5-omni-7b]
corpora: [{name: studio, type: synthetic, condition: studio, emotions: [anger, joy]}]
studies:
  plain: {selectors: [MAD], interventions: [deactivate, two-pass-or-steer]}
  mixed: {selectors: [MAD], interventions: [{type: mix, alpha: 0.3}], models: [all-of-them]}
"""


def sweep(folder: Path, mixed: str, second: str = "{type: steer, alpha: 0.3}") -> Sweep:
    path = folder / "sweep.yaml"
    path.write_text(SWEEP.replace("all-of-them", mixed).replace("two-pass-or-steer", second), encoding="utf-8")
    return load_sweep(path)


def test_mix_on_registered_experts_is_no_plan(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'mixed' asks for mix on model 'qwen3-omni-30b', .* of 128 experts") as e:
        plan(sweep(tmp_path, "qwen2.5-omni-7b, qwen3-omni-30b"))
    assert e.value.fix and "study 'mixed'" in e.value.fix


def test_mix_next_to_experts_is_allowed_and_so_are_the_other_types_on_them(tmp_path: Path) -> None:
    planned = plan(sweep(tmp_path, "qwen2.5-omni-7b", "{type: two-pass, alpha: 0.3}, {type: union, alpha: 0.3}"))
    refuse_on_experts(planned.studies, "qwen3-omni-30b", 128)
    refuse_on_experts(planned.studies, "qwen2.5-omni-7b", 0)
    with pytest.raises(UserError, match=r"'qwen2.5-omni-7b'"):
        refuse_on_experts(planned.studies, "qwen2.5-omni-7b", 4)
