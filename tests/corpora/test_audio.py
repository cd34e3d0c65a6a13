"""Each clip is decoded to mono 16 kHz or excluded with the right reason; no file makes the scan crash."""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st

from esn_dist.corpora import (
    SAMPLE_RATE,
    AudioError,
    Clip,
    Exclusion,
    Limits,
    Reason,
    Utterance,
    decode,
    decode_clip,
    probe,
)


def tone(seconds: float, rate: int = SAMPLE_RATE, level: float = 0.5) -> npt.NDArray[np.float64]:
    return level * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)


def utterance(path: Path) -> Utterance:
    return Utterance(id="u1", speaker="s1", emotion="joy", split="dev", path=path)


def exclusion(path: Path) -> Exclusion:
    result = probe(utterance(path), Limits())
    assert isinstance(result, Exclusion), result
    assert (result.id, result.emotion) == ("u1", "joy")
    return result


def test_a_valid_clip_has_its_length_at_16_khz_and_the_hash_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(0.5, 8_000), 8_000)
    clip = probe(utterance(path), Limits())
    assert clip == Clip(utterance(path), samples=8_000, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    assert isinstance(clip, Clip) and len(decode_clip(clip)) == clip.samples


@pytest.mark.parametrize(
    ("container", "subtype", "rate", "channels"),
    [
        ("WAV", "PCM_16", 16_000, 1),
        ("WAV", "PCM_16", 8_000, 2),
        ("WAVEX", "PCM_24", 44_100, 1),
        ("WAV", "FLOAT", 48_000, 6),
        ("WAV", "IMA_ADPCM", 16_000, 1),
        ("FLAC", "PCM_16", 22_050, 2),
        ("MP3", "MPEG_LAYER_III", 16_000, 1),
        ("OGG", "VORBIS", 16_000, 1),
    ],
)
def test_every_container_rate_and_channel_count_gives_the_same_tone(
    tmp_path: Path, container: str, subtype: str, rate: int, channels: int
) -> None:
    path = tmp_path / "misnamed.mp4"
    soundfile.write(path, np.tile(tone(1.0, rate)[:, None], channels), rate, format=container, subtype=subtype)
    wave = decode(path)
    assert wave.dtype == np.float32 and wave.ndim == 1
    middle = slice(2_000, 14_000)  # the ends ring where a file is resampled or compressed
    np.testing.assert_allclose(wave[middle], tone(1.0)[middle], atol=0.03)


def test_the_downmix_is_the_mean_so_opposite_channels_are_silence(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([tone(1), -tone(1)], axis=1), SAMPLE_RATE)
    assert exclusion(path).reason is Reason.SILENT


def test_resampling_folds_nothing_back_below_the_new_half_rate(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    time = np.arange(48_000) / 48_000
    soundfile.write(path, 0.9 * np.sin(2 * np.pi * 9_000 * time), 48_000)
    assert np.abs(decode(path)[1_000:-1_000]).max() < 1e-3


def test_a_wav_cut_by_a_broken_download_is_a_length_mismatch_and_not_a_shorter_clip(tmp_path: Path) -> None:
    for container in ("WAV", "WAVEX", "AIFF"):
        path = tmp_path / container
        soundfile.write(path, tone(2), SAMPLE_RATE, format=container)
        path.write_bytes(path.read_bytes()[:32_000])
        excluded = exclusion(path)
        assert excluded.reason is Reason.LENGTH_MISMATCH
        assert "declares 2.0" in excluded.detail


def test_a_cut_mp3_is_a_length_mismatch_and_a_cut_flac_unreadable(tmp_path: Path) -> None:
    for container, reason in (("MP3", Reason.LENGTH_MISMATCH), ("FLAC", Reason.UNREADABLE)):
        path = tmp_path / container
        soundfile.write(path, tone(2), SAMPLE_RATE, format=container)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        assert exclusion(path).reason is reason


@pytest.mark.parametrize("size", [2**32 - 1, 0x7FFF_F000])
def test_a_wav_streamed_to_a_pipe_without_a_size_is_whole(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(1), SAMPLE_RATE)
    data = bytearray(path.read_bytes())
    size_field = data.index(b"data") + 4
    data[size_field : size_field + 4] = struct.pack("<I", size)
    path.write_bytes(data)
    result = probe(utterance(path), Limits())
    assert isinstance(result, Clip) and result.samples == SAMPLE_RATE


def test_a_flac_without_a_length_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, tone(1), SAMPLE_RATE)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # STREAMINFO's 36 bits of "total samples"
    data[22:26] = bytes(4)
    path.write_bytes(data)
    excluded = exclusion(path)
    assert excluded.reason is Reason.UNREADABLE
    assert "how long" in excluded.detail


def test_a_missing_file_and_a_missing_folder_are_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for path in (tmp_path / "no.wav", tmp_path / "no" / "no.wav", tmp_path / "file" / "no.wav"):
        assert exclusion(path).reason is Reason.MISSING


@pytest.mark.parametrize("content", [b"", b"RIFF", b"hello " * 100, b"PK\3\4" + bytes(100)])
def test_what_is_not_audio_is_unreadable(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    assert exclusion(path).reason is Reason.UNREADABLE


def test_a_folder_instead_of_a_file_is_unreadable(tmp_path: Path) -> None:
    assert exclusion(tmp_path).reason is Reason.UNREADABLE


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (tone(0), Reason.TOO_SHORT),
        (tone(0.099), Reason.TOO_SHORT),
        (tone(60.01), Reason.TOO_LONG),
        (np.zeros(SAMPLE_RATE), Reason.SILENT),
        (tone(1, level=0.9e-4), Reason.SILENT),
        (np.append(tone(1), np.nan), Reason.NON_FINITE),
        (np.append(tone(1), -np.inf), Reason.NON_FINITE),
    ],
)
def test_a_clip_outside_the_limits_is_excluded(
    tmp_path: Path, samples: npt.NDArray[np.float64], reason: Reason
) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, SAMPLE_RATE, subtype="FLOAT")
    assert exclusion(path).reason is reason


@pytest.mark.parametrize("samples", [tone(0.1), tone(60), tone(1, level=1.1e-4)])
def test_a_clip_at_the_limits_is_valid(tmp_path: Path, samples: npt.NDArray[np.float64]) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, SAMPLE_RATE, subtype="FLOAT")
    assert isinstance(probe(utterance(path), Limits()), Clip)


def test_limits_are_settings(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(2), SAMPLE_RATE)
    result = probe(utterance(path), Limits(longest=1.5))
    assert isinstance(result, Exclusion) and result.detail == "lasts 2.0 s, the most is 1.5 s"


def test_a_file_that_changed_after_the_scan_is_not_read_as_if_it_had_not(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(1), SAMPLE_RATE)
    clip = probe(utterance(path), Limits())
    assert isinstance(clip, Clip)
    soundfile.write(path, tone(1, level=0.4), SAMPLE_RATE)
    with pytest.raises(AudioError) as caught:
        decode_clip(clip)
    assert caught.value.reason is Reason.CHANGED
    os.remove(path)
    with pytest.raises(AudioError) as caught:
        decode_clip(clip)
    assert caught.value.reason is Reason.MISSING


@settings(max_examples=60)
@given(
    damage=st.lists(st.tuples(st.integers(0, 79), st.integers(0, 255)), min_size=1, max_size=12),
    container=st.sampled_from(["WAV", "FLAC", "AIFF", "OGG"]),
)
@example(damage=[(38, 0)], container="AIFF")  # libsndfile seeks before the start of the file
def test_no_damage_to_a_header_raises(
    damage: list[tuple[int, int]], container: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "a.wav"
    soundfile.write(path, tone(0.3), SAMPLE_RATE, format=container)
    data = bytearray(path.read_bytes())
    for position, value in damage:
        data[position] = value
    path.write_bytes(data)
    result = probe(utterance(path), Limits())
    assert isinstance(result, Exclusion) or 0.1 <= result.samples / SAMPLE_RATE <= 60
