"""Odd files as people have them: each is decoded or excluded with its reason."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from esn_dist.corpora.manifest import ManifestCorpus
from esn_dist.corpora.survey import Survey, survey
from tests.corpora.miniature.speech import VIDEO_RATE, hum, mp4

VALID = {"8 kHz stereo.wav", "24 bit.wav", "float.wav", "tone.mp3", "tone.flac", "tone.m4a", "flac named.wav",
       "wav named.mp3", "link.wav", "späß 🎙 b.wav", "deep/er/x.wav"}  # fmt: skip
INVALID = {
    "truncated.wav": "length mismatch",
    "header only.wav": "too short",
    "empty.wav": "unreadable",
    "text.wav": "unreadable",
    "gone.wav": "missing",
    "dangling.wav": "missing",
    "nan.wav": "non-finite",
    "silent.wav": "silent",
    "long.wav": "too long",
}


@pytest.fixture
def odd_files(tmp_path: Path) -> Path:
    folder = tmp_path / "mein Korpus (alt) é"
    (folder / "deep/er").mkdir(parents=True)
    sound = hum(0.5)
    soundfile.write(folder / "8 kHz stereo.wav", np.stack([hum(0.5, 8_000)] * 2, axis=1), 8_000)
    soundfile.write(folder / "24 bit.wav", sound, 16_000, subtype="PCM_24")
    soundfile.write(folder / "float.wav", sound, 16_000, subtype="FLOAT")
    soundfile.write(folder / "tone.mp3", sound, 16_000)
    soundfile.write(folder / "tone.flac", sound, 16_000)
    soundfile.write(folder / "flac named.wav", sound, 16_000, format="FLAC")
    soundfile.write(folder / "wav named.mp3", sound, 16_000, format="WAV")
    soundfile.write(folder / "späß 🎙 b.wav", sound, 16_000)
    soundfile.write(folder / "deep/er/x.wav", sound, 16_000)
    (folder / "tone.m4a").write_bytes(mp4(hum(0.5, VIDEO_RATE)[None]))
    os.symlink(folder / "float.wav", folder / "link.wav")
    os.symlink(folder / "nowhere.wav", folder / "dangling.wav")
    whole = (folder / "wav named.mp3").read_bytes()
    (folder / "truncated.wav").write_bytes(whole[: len(whole) // 2])
    (folder / "header only.wav").write_bytes(whole[:40] + bytes(4))
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("not audio at all" * 20)
    soundfile.write(folder / "nan.wav", np.append(sound, np.nan), 16_000, subtype="FLOAT")
    soundfile.write(folder / "silent.wav", np.zeros(8_000), 16_000)
    soundfile.write(folder / "long.wav", np.zeros(16_000 * 61, np.int16), 16_000)
    with (folder / "m.csv").open("w", encoding="utf-8", newline="") as file:
        rows = [[f"{n}{e}", name, e] for n, name in enumerate(sorted(VALID | INVALID.keys())) for e in ("anger", "joy")]
        csv.writer(file).writerows([["id", "path", "emotion"], *rows])
    return folder


def surveyed(folder: Path, headers_only: bool = False) -> Survey:
    spec = ManifestCorpus.model_validate(
        {"name": "odd", "type": "manifest", "path": folder / "m.csv", "emotions": ["anger", "joy"],
         "evaluation": {"per_emotion": 3}}
    )  # fmt: skip
    return survey(spec, 1, folder.parent / "cache", headers_only=headers_only)


def test_every_odd_file_is_valid_or_has_its_reason(odd_files: Path) -> None:
    result = surveyed(odd_files)
    names = sorted(VALID | INVALID.keys())
    reasons = {
        names[int(item.id.removesuffix("joy"))]: str(item.reason) for item in result.exclusions if "joy" in item.id
    }
    assert reasons == INVALID
    assert result.valid == {("", emotion): len(VALID) for emotion in ("anger", "joy")}
    assert result.hours["", "joy"] * 3600 == pytest.approx(0.5 * len(VALID), abs=0.3)
    assert result.evaluation and result.identification
    assert result.evaluation.by_emotion == {"anger": 3, "joy": 3}
    assert result.identification.by_emotion == {"anger": len(VALID) - 3, "joy": len(VALID) - 3}


def test_headers_alone_miss_only_what_decoding_shows(odd_files: Path) -> None:
    decoded, headers = surveyed(odd_files), surveyed(odd_files, headers_only=True)
    unseen = {item.id for item in decoded.exclusions} - {item.id for item in headers.exclusions}
    assert {str(item.reason) for item in decoded.exclusions if item.id in unseen} == {"non-finite", "silent"}
    assert {(i.id, i.reason) for i in headers.exclusions} < {(i.id, i.reason) for i in decoded.exclusions}
    assert (decoded.decoded, headers.decoded) == (True, False)
