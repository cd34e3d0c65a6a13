"""The page on models is true: its YAML is read, its commands run, and no model and no setting is missing."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import yaml
from typer.testing import CliRunner

from esn_dist.cli import app
from esn_dist.sweep.model_catalog import MODELS
from esn_dist.sweep.spec import ModelSpec

PAGE = (Path(__file__).parents[1] / "docs" / "models.md").read_text(encoding="utf-8")


def test_its_yaml_names_models_that_a_sweep_takes() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    specs = [ModelSpec.model_validate(entry) for block in blocks for entry in yaml.safe_load(block)["models"]]
    assert [spec.model for spec in specs] == ["qwen2.5-omni-7b", "any"]


def test_its_commands_run() -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) >= 3
    for line in lines:
        program, *arguments = shlex.split(line)
        result = CliRunner().invoke(app, arguments)
        assert program == "esn-dist" and result.exit_code == 0, f"{line}: {result.output}"


def test_every_registered_model_and_every_setting_is_on_it() -> None:
    missing = [name for name in (*MODELS, *ModelSpec.model_fields) if f"`{name}`" not in PAGE]
    assert not missing
