"""The commands as a user meets them: help, messages for invalid input, exit codes, JSON."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from esn_dist.cli.run import run_facts
from esn_dist.runner.loop import RunResult

QUICKSTART = Path(__file__).parents[1] / "configs" / "quickstart.yaml"
WITHOUT_RAY = "import sys; sys.modules['ray'] = None; from esn_dist.cli import main; main()"


def call(*arguments: str, program: tuple[str, ...] = ("-m", "esn_dist")) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *program, *arguments], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("command", ["plan", "run", "status", "report"])
def test_help_of_each_command_says_what_it_does_its_arguments_and_the_exit_codes(command: str) -> None:
    result = call(command, "--help")
    assert result.returncode == 0
    assert "Exit codes: 0 done" in result.stdout
    assert "--json" in result.stdout
    assert "SWEEP.yaml" in result.stdout or "FOLDER" in result.stdout


def test_plan_shows_what_would_run_in_under_two_seconds_of_work_without_torch_or_ray() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    program = "import sys; sys.modules['torch'] = sys.modules['ray'] = None; from esn_dist.cli import main; main()"
    result = call("plan", str(QUICKSTART), program=("-c", program))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result.returncode == 0, result.stderr
    assert "table1: 153 cells, 65 masks, 30,600 answers" in result.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2


def test_plan_as_json_has_the_same_numbers() -> None:
    facts = json.loads(call("plan", str(QUICKSTART), "--json").stdout)
    assert (facts["cells"], facts["answers"]) == (153, 30_600)
    # Cells: 3 corpora × (baseline + 2 interventions × (5 RND seeds + 4 selectors × 5 emotions)).
    assert facts["cells"] == 3 * (1 + 2 * (5 + 4 * 5))


def test_a_missing_sweep_is_named_with_its_nearest_neighbour_and_exits_with_2() -> None:
    result = call("run", str(QUICKSTART.with_name("quickstrat.yaml")))
    assert result.returncode == 2
    assert "Did you mean 'quickstart.yaml'?" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_misspelt_selector_is_named_with_file_and_line(tmp_path: Path) -> None:
    text = QUICKSTART.read_text(encoding="utf-8").replace("ConAct]", "ConAckt]")
    line = 1 + text[: text.index("ConAckt")].count("\n")
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(text, encoding="utf-8")
    for command in ("plan", "run"):
        result = call(command, str(sweep))
        assert result.returncode == 2
        assert f"sweep.yaml:{line}: " in result.stderr and "Did you mean 'ConAct'?" in result.stderr


def test_a_folder_without_a_store_is_no_store(tmp_path: Path) -> None:
    for command in ("status", "report"):
        result = call(command, str(tmp_path))
        assert result.returncode == 2
        assert "there is no store here" in result.stderr and "Traceback" not in result.stderr


def test_a_light_install_says_what_to_add(tmp_path: Path) -> None:
    result = call("run", str(QUICKSTART), "--store", str(tmp_path / "store"), program=("-c", WITHOUT_RAY))
    assert result.returncode == 2
    assert "pip install 'esn-dist[run]'" in result.stderr
    assert not (tmp_path / "store").exists()


def test_an_emotion_that_a_corpus_does_not_have_is_named_before_any_model_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("id,path,emotion\n1,1.wav,joy\n2,2.wav,anger\n", encoding="utf-8")
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(
        "name: mine\nseed: 1\nstore: store\nmodels: [tiny-qwen2.5-omni]\n"
        "corpora: [{name: mine, type: manifest, path: mine.csv, emotions: [joy, angr]}]\n"
        "studies: {one: {interventions: [deactivate]}}\n",
        encoding="utf-8",
    )
    result = call("run", str(sweep))
    assert result.returncode == 2
    assert "no utterance has the emotion 'angr'. Did you mean 'anger'?" in result.stderr


def test_json_of_a_run_keeps_the_names_of_earlier_versions_next_to_the_new_ones() -> None:
    result = RunResult(finished=3, remaining=1, failed={"answer-9": "why"}, unreadable_clips={"b: gone", "a: gone"})
    facts = run_facts(Path("store/small"), result)
    assert facts["remaining"] == facts["left"] == 1
    assert facts["failed"] == facts["parked"] == {"answer-9": "why"}
    assert facts["unreadable_clips"] == facts["lost"] == ["a: gone", "b: gone"]
    assert json.loads(json.dumps(facts))["store"] == "store/small"
