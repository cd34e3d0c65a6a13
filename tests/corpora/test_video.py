"""Audio of mp4 and similar containers is complete and mixed as documented; damaged and disguised files do no harm."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from esn_dist.corpora import Clip, Exclusion, Limits, Reason, Utterance, decode, probe
from esn_dist.corpora.audio import DOWNMIX_6
from esn_dist.corpora.probe import probe_header
from esn_dist.corpora.video import container_of
from esn_dist.errors import UserError
from tests.corpora.miniature.speech import VIDEO_RATE, hum, mp4

SURROUND = ("FL", "FR", "FC", "LFE", "BL", "BR")


def written(path: Path, data: bytes) -> Utterance:
    path.write_bytes(data)
    return Utterance("u1", "s1", "joy", "dev", path)


def six_tones(seconds: float = 1.0) -> npt.NDArray[np.float32]:
    """A different tone in each channel."""
    time = np.arange(round(VIDEO_RATE * seconds)) / VIDEO_RATE
    return np.stack([0.4 * np.sin(2 * np.pi * f * time) for f in (300, 500, 700, 60, 900, 1_100)]).astype(np.float32)


def test_5_1_is_mixed_as_ffmpeg_mixes_it_into_a_16_bit_mono_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(mp4(six_tones(), codec="alac"))
    decoded = decode(path)
    with av.open(str(path)) as file:
        mix = av.AudioResampler(format="s16", layout="mono", rate=16_000)
        frames = [out for frame in file.decode(audio=0) for out in mix.resample(frame)] + mix.resample(None)
        ffmpeg = np.concatenate([frame.to_ndarray()[0] for frame in frames]) / 2**15
    middle = slice(1_000, 15_000)  # the two resamplers ring differently at the ends
    np.testing.assert_allclose(decoded[middle], ffmpeg[middle], atol=1e-3)


@pytest.mark.parametrize("channel", range(6))
def test_each_channel_of_5_1_has_its_stated_weight(tmp_path: Path, channel: int) -> None:
    alone = np.zeros((6, VIDEO_RATE), np.float32)
    alone[channel] = six_tones()[2]
    weight = {"FC": 1, "FL": 0.5**0.5, "FR": 0.5**0.5, "BL": 0.5, "BR": 0.5, "LFE": 0}[SURROUND[channel]]
    path = tmp_path / "a.mp4"
    path.write_bytes(mp4(alone, codec="alac"))
    level = np.abs(decode(path)[1_000:-1_000]).max()
    assert level == pytest.approx(0.4 * weight / (2 + 2**0.5), abs=1e-3)
    assert DOWNMIX_6.sum() == pytest.approx(1), "no sum of full-scale channels can clip"


def test_a_voice_in_the_centre_alone_survives_where_the_first_channel_is_silent(tmp_path: Path) -> None:
    sound = np.zeros((6, VIDEO_RATE), np.float32)
    sound[2] = hum(1.0, VIDEO_RATE)
    path = tmp_path / "a.mp4"
    path.write_bytes(mp4(sound))
    wave, voice = decode(path)[2_000:14_000], hum(1.0)[2_000:14_000]
    assert np.corrcoef(wave, voice)[0, 1] > 0.99
    assert 0.25 < wave.std() / voice.std() < 0.33, "0.293: louder than the plain mean's 0.167"


def test_a_wav_of_six_channels_is_mixed_as_the_mp4_it_came_from(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(mp4(six_tones(), codec="alac"))
    soundfile.write(tmp_path / "a.wav", six_tones().T, VIDEO_RATE, subtype="PCM_16")
    middle = slice(500, 15_500)
    np.testing.assert_allclose(decode(tmp_path / "a.mp4")[middle], decode(tmp_path / "a.wav")[middle], atol=1e-4)


@pytest.mark.parametrize("channels", [1, 2])
def test_mono_and_stereo_are_the_mean(tmp_path: Path, channels: int) -> None:
    sound = six_tones()[:channels]
    path = tmp_path / "a.mp4"
    path.write_bytes(mp4(sound, codec="alac"))
    soundfile.write(tmp_path / "mean.wav", sound.mean(axis=0), VIDEO_RATE, subtype="PCM_16")
    middle = slice(500, 15_500)
    np.testing.assert_allclose(decode(path)[middle], decode(tmp_path / "mean.wav")[middle], atol=1e-4)


@pytest.mark.parametrize("name", ["a.m4a", "a.wav", "noend", "ä b.mp4"])
def test_the_first_bytes_decide_the_format_and_not_the_name(tmp_path: Path, name: str) -> None:
    clip = probe(written(tmp_path / name, mp4(six_tones())), Limits())
    assert isinstance(clip, Clip)
    assert clip.samples == pytest.approx(16_000, abs=2 * 1_024 / 3), "within the padding of AAC"


def test_an_mp4_cut_by_a_broken_download_is_excluded(tmp_path: Path) -> None:
    for fast_start in (False, True):
        data = mp4(six_tones(2), fast_start=fast_start)
        for kept in (0.1, 0.5, 0.9):
            result = probe(written(tmp_path / "a.mp4", data[: round(len(data) * kept)]), Limits())
            # With the index first and cut between two packets, the rest decodes without an error.
            assert isinstance(result, Exclusion) and result.reason in (Reason.UNREADABLE, Reason.LENGTH_MISMATCH)


def test_a_clip_without_an_audio_stream_has_that_reason(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        picture = file.add_stream("libx264", rate=25)
        assert isinstance(picture, av.VideoStream)
        picture.width, picture.height, picture.pix_fmt = 32, 32, "yuv420p"
        file.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        file.mux(picture.encode(None))
    result = probe(written(tmp_path / "a.mp4", buffer.getvalue()), Limits())
    assert isinstance(result, Exclusion) and result.detail == "the container holds no audio"


def adts(layout: str) -> bytes:
    """One second of raw AAC."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="adts") as file:
        stream = file.add_stream("aac", rate=VIDEO_RATE, layout=layout)
        assert isinstance(stream, av.AudioStream)
        sound = np.tile(hum(1, VIDEO_RATE), (stream.layout.nb_channels, 1))
        frame = av.AudioFrame.from_ndarray(sound, format="fltp", layout=layout)
        frame.sample_rate = VIDEO_RATE
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return buffer.getvalue()


def test_raw_aac_has_the_length_of_its_packets(tmp_path: Path) -> None:
    utterance = written(tmp_path / "a.wav", adts("mono"))
    for result in (probe(utterance, Limits()), probe_header(utterance, Limits())):
        assert isinstance(result, Clip) and result.samples == pytest.approx(16_000, abs=1_024)


def test_audio_that_changes_its_channels_half_way_is_unreadable_and_crashes_nothing(tmp_path: Path) -> None:
    result = probe(written(tmp_path / "a.aac", adts("mono") + adts("stereo")), Limits())
    assert isinstance(result, Exclusion) and result.reason is Reason.UNREADABLE
    assert "half way" in result.detail


def test_a_clip_with_tags_that_are_not_utf_8_is_valid(tmp_path: Path) -> None:
    data = mp4(six_tones(), title="Xaaaaa")
    assert data.count(b"Xaaaaa") == 1
    assert isinstance(
        probe(written(tmp_path / "a.mp4", data.replace(b"Xaaaaa", b"X\xe9\xe9\xff\xe9\xe9")), Limits()), Clip
    )


def test_a_disguised_playlist_is_never_followed(tmp_path: Path) -> None:
    target = tmp_path / "secret.mp4"
    target.write_bytes(mp4(six_tones()))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile://{target}\n#EXT-X-ENDLIST\n"
    for start in (b"", b"\0\0\0\x1cftyp"):
        result = probe(written(tmp_path / "a.mp4", start + playlist.encode()), Limits())
        assert isinstance(result, Exclusion) and result.reason is Reason.UNREADABLE


def test_no_audio_file_is_taken_for_a_container(tmp_path: Path) -> None:
    for kind in ("WAV", "FLAC", "MP3", "OGG", "AIFF", "W64", "CAF", "AU"):
        soundfile.write(tmp_path / kind, hum(0.3), 16_000, format=kind)
        assert container_of((tmp_path / kind).read_bytes()) is None, kind


def test_without_pyav_the_error_names_the_fix_and_no_clip_is_excluded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    utterance = written(tmp_path / "a.mp4", mp4(six_tones()))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match="need PyAV") as caught:
        probe(utterance, Limits())
    assert "esn-dist[video]" in str(caught.value)


@settings(max_examples=60)
@given(damage=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=12), fast=st.booleans())
def test_no_damage_to_an_mp4_raises(
    damage: list[tuple[float, int]], fast: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray(CLEAN[fast])
    for position, value in damage:
        data[8 + round(position * (len(data) - 9))] = value
    utterance = written(tmp_path_factory.mktemp("damaged") / "a.mp4", bytes(data))
    for result in (probe(utterance, Limits()), probe_header(utterance, Limits())):
        assert isinstance(result, Exclusion) or 0.1 <= result.samples / 16_000 <= 60.2


CLEAN = {fast: mp4(six_tones(0.3), fast_start=fast) for fast in (False, True)}
