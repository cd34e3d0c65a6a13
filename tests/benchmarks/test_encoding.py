"""Encoding is measured by both methods, and wrong embeddings are detected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import encoding
from esn_dist.corpora.audio import decode
from full_size import write_flamingo
from speed.workload import Workload
from tests.benchmarks.smoke import figures

RATES = {"one by one", "in groups"}


def test_the_shipped_model_is_encoded_both_ways(tmp_path: Path) -> None:
    encoding.main("tiny", file := tmp_path / "encoding.json", utterances=6, rounds=1)
    measured = json.loads(file.read_text())
    rates = measured["clips_per_second"]
    assert rates.keys() == RATES
    assert measured["ratio"] == pytest.approx(rates["in groups"] / rates["one by one"], rel=1e-3)
    assert 0 <= measured["largest_difference"] < 1e-5 < measured["root_mean_square"]
    assert measured["clips_changed_by_neighbours"] == 0


def test_a_written_folder_is_encoded_both_ways(tmp_path: Path) -> None:
    (folder := tmp_path / "model").mkdir()
    write_flamingo(folder, small=True)
    measured = figures("encoding", tmp_path, model=folder)
    assert measured["clips_per_second"].keys() == RATES and measured["model"] == "audio-flamingo-3"
    assert measured["mean_difference"] < 1e-2 * measured["root_mean_square"]


def test_embeddings_that_depend_on_neighbours_or_are_of_another_clip_are_detected(spoken: Workload) -> None:
    lm, clips = spoken.lm, spoken.clips[:3]
    alone = encoding.alone(lm, clips)
    assert encoding.differences(alone, alone)["largest_difference"] == 0
    assert encoding.differences([alone[0]], [alone[0] + 0.5])["mean_difference"] == pytest.approx(0.5)
    encode_audio = lm.encode_audio
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lm, "encoder_batch", 0)
        patch.setattr(lm, "encode_audio", lambda features: [r + 1e-3 * n for n, r in enumerate(encode_audio(features))])
        measured = encoding.measure(lm, clips, 1)
    assert measured["clips_changed_by_neighbours"] == 2  # the middle one keeps its place
    assert measured["largest_difference"] == pytest.approx(2e-3, rel=0.1)
    assert torch.equal(lm.encode_clip(decode(clips[0])), alone[0])
