"""`esn-dist corpora` says what is there, what is excluded and why, and for which clips speakers may overlap."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from esn_dist.cli import app
from tests.corpora.miniature.iemocap import write_iemocap
from tests.corpora.miniature.msp_podcast import write_msp_podcast

SWEEP = """\
name: mini
seed: 1
models: [tiny-qwen2.5-omni]
corpora:
  - name: iemocap
    type: iemocap
    path: iemocap
    evaluation: {per_emotion: 2}
  - name: msp
    type: msp-podcast
    path: msp-podcast
    evaluation: {per_emotion: 2}
    identification: {speaker_disjoint: true}
studies:
  one: {interventions: [deactivate]}
"""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sweep")
    write_iemocap(root / "iemocap")
    write_msp_podcast(root / "msp-podcast")
    (root / "msp-podcast/Audios/MSP-PODCAST_0003_0001.wav").unlink()
    (root / "sweep.yaml").write_text(SWEEP)
    return root / "sweep.yaml"


def called(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_text_has_counts_hours_reasons_sets_and_notes(sweep: Path) -> None:
    result = called("corpora", sweep, "--workers", "1")
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    for line in (
        "Session1 Session2 Session3 Session4 Session5 all valid hours",
        "anger 2 1 3 1 2 9 9 0.0009",
        "label excluded: 54 (disgust 9, excitement 9, fear 9, no agreement 9, other 9, surprise 9)",
        "validated: every clip was decoded",
        "evaluation set: 10 (anger 2, frustration 2, joy 2, neutral 2, sadness 2)",
        "identification pool: 44 (anger 7, frustration 7, joy 7, neutral 16, sadness 7)",
        "speakers: may be in both sets (identification.speaker_disjoint is false)",
        "Development Test1 Test2 Train all valid hours",
    ):
        assert line in lines
    missing = next(line for line in lines if line.startswith("missing: 1 (MSP-PODCAST_0003_0001: no file "))
    assert missing.endswith("MSP-PODCAST_0003_0001.wav)")
    assert any("of unknown speaker, so not promised: " in line for line in lines)


def test_json_lists_every_exclusion_and_tells_headers_from_decoding_under_old_keys_too(sweep: Path) -> None:
    result = called("corpora", sweep, "--workers", "1", "--headers", "--json")
    assert result.exit_code == 0, result.output
    iemocap, msp = json.loads(result.stdout)
    assert (iemocap["decoded"], iemocap["type"], iemocap["problem"]) == (False, "iemocap", None)
    anger = iemocap["splits"]["Session3"]["anger"]
    assert anger == {"listed": 3, "valid": 3, "fit": 3, "hours": pytest.approx(0.0003, abs=1e-4)}
    assert iemocap["labels_excluded"]["no agreement"] == 9
    assert msp["excluded_by_reason"] == msp["set_aside_by_reason"] == {"label excluded": 60, "missing": 1}
    assert [item["id"] for item in msp["excluded"]] == ["MSP-PODCAST_0003_0001"]
    assert msp["set_aside"] == msp["excluded"]
    assert msp["identification"]["unknown_speakers"] > 0


def test_a_missing_corpus_does_not_hide_the_others_and_exits_with_2(sweep: Path) -> None:
    bad = sweep.with_name("bad.yaml")
    bad.write_text(SWEEP.replace("path: iemocap", "path: nowhere"))
    result = called("corpora", bad, "--workers", "1", "--headers")
    assert result.exit_code == 2
    assert "error: " in result.stdout and "no such folder" in result.stdout
    assert "msp (msp-podcast, " in result.stdout


def test_plan_counts_corpora_that_exist_and_falls_back_on_published_counts(sweep: Path) -> None:
    bad = sweep.with_name("bad.yaml")
    bad.write_text(SWEEP.replace("path: iemocap", "path: nowhere"))
    result = called("plan", bad)
    assert result.exit_code == 0, result.output
    # The release has 6,339 utterances of the five classes, hap alone; ten are held out.
    published = "published counts of the full release: nothing at"
    assert f"iemocap: evaluation 10, identification pool up to 6,329 ({published}" in result.stdout
    assert "msp: evaluation 10, identification pool up to 28 (counted in" in result.stdout
