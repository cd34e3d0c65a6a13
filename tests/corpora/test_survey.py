"""A survey draws the very sets that a run draws, promises no more than it can, and leaves the disk as it was."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from esn_dist.corpora import SetRule, scan
from esn_dist.corpora.loader import load_corpus
from esn_dist.corpora.survey import Survey, survey
from esn_dist.sweep.corpus_spec import CorpusSpec
from esn_dist.sweep.corpus_types import parse_corpus

RELEASES = ("iemocap", "meld", "msp-podcast")


def spec_of(releases: Path, name: str, **options: Any) -> CorpusSpec:
    given = {"name": name, "type": name, "path": releases / name, "evaluation": {"per_emotion": 2}}
    return parse_corpus(given | options)


def tree(root: Path) -> dict[str, tuple[int, int]]:
    files = (path for path in root.rglob("*"))
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize("name", RELEASES)
def test_the_sets_are_those_of_the_scan_and_the_corpus_is_left_as_it_was(
    releases: Path, tmp_path: Path, name: str
) -> None:
    before = tree(releases)
    spec = spec_of(releases, name, limits={"longest": 70})
    result = survey(spec, 7, tmp_path)
    sets = scan(
        load_corpus(spec, tmp_path).utterances, spec.emotions, seed=7, corpus=name, limits=spec.limits,
        evaluation=SetRule(spec.evaluation.splits, 2), identification=SetRule(spec.identification.splits, None),
    )  # fmt: skip
    assert result.evaluation and result.identification
    assert sum(result.evaluation.by_emotion.values()) == len(sets.evaluation)
    assert sum(result.identification.by_emotion.values()) == len(sets.identification)
    assert {item.id for item in sets.exclusions} <= {item.id for item in result.exclusions}
    assert tree(releases) == before
    assert os.listdir(tmp_path) == []


def test_two_processes_give_the_same_survey_as_one(releases: Path, tmp_path: Path) -> None:
    spec = spec_of(releases, "msp-podcast")
    reported: list[tuple[int, int]] = []
    alone = survey(spec, 7, tmp_path, workers=1)
    assert survey(spec, 7, tmp_path, workers=2, progress=lambda done, total: reported.append((done, total))) == alone
    assert reported[-1] == (60, 60)


def test_unknown_speakers_are_counted_where_sets_are_speaker_disjoint(releases: Path, tmp_path: Path) -> None:
    disjoint = {"speaker_disjoint": True, "splits": None}
    msp = survey(spec_of(releases, "msp-podcast", identification=disjoint), 1, tmp_path)
    assert msp.speaker_disjoint and msp.evaluation and msp.identification
    assert msp.identification.unknown_speakers > 0
    session = {"per_emotion": 1, "splits": ["Session5"]}
    ten = survey(spec_of(releases, "iemocap", identification=disjoint, evaluation=session), 1, tmp_path)
    assert ten.identification and ten.identification.unknown_speakers == 0
    assert sum(ten.identification.by_emotion.values()) == 42, "all but Session5, whose speakers are both evaluated"


def test_a_missing_or_too_small_corpus_is_reported_and_no_crash(releases: Path, tmp_path: Path) -> None:
    gone: Survey = survey(spec_of(releases, "meld", path=tmp_path / "no"), 1, tmp_path)
    assert "no such folder" in gone.problem and not gone.listed
    small = survey(spec_of(releases, "meld", evaluation={"per_emotion": 200}), 1, tmp_path)
    assert "needs 200 utterances of each emotion" in small.problem
    assert sum(small.listed.values()) == 39, "the counts are shown all the same"
    assert small.evaluation is None
