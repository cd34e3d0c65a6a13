"""Packed and padded engine agree on real prompts: in float32 always; in bfloat16 but for ties, which are counted.

A tie: the two best options of the padded engine differ by less than `TIE`. The shipped model answers spoken
utterances under many states of its gates, those that bring options close together among them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import torch

from esn_dist.corpora.synthetic import materialise
from esn_dist.gates.find import find_gates
from esn_dist.gates.scale import scaled
from esn_dist.inference.packed.engine import PackedEngine, make_engine
from esn_dist.models.audio_lm import AudioLM
from esn_dist.models.loading import load
from esn_dist.sweep.spec import ModelSpec
from esn_dist.task.prompt import option_order
from esn_dist.worker.prompt_batches import AnswerRows, PromptBatches

TIE = 0.25  # nats, as stated in docs/performance.md
EMOTIONS = ("anger", "joy", "neutral", "sadness", "surprise")
SCALES = (1.0, 0.0, 0.0, 0.0, 1.3, 0.5, -0.5, -1.0)  # of a random fifth of the gates, another one each time
BUDGET, NEW = 1_500, 4


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[npt.NDArray[np.float32]]:
    """Spoken utterances of all emotions."""
    corpus = materialise(tmp_path_factory.mktemp("speech"), "studio", {"evaluation": 10}, seed=11, workers=1)
    return [soundfile.read(path, dtype="float32")[0] for path in sorted((corpus / "wav").rglob("*.wav"))]


def model_in(dtype: str) -> AudioLM:
    return load(ModelSpec.model_validate({"name": "tiny-qwen2.5-omni", "dtype": dtype}), "cpu")


def answered(model: AudioLM, clips: list[npt.NDArray[np.float32]], packed: bool) -> list[AnswerRows]:
    """All utterances under every scale."""
    engine, gates = make_engine(model, packed=packed), find_gates(model.decoder)
    assert isinstance(engine, PackedEngine) is packed
    orders = [option_order(EMOTIONS, 1, "speech", str(i)) for i in range(len(clips))]
    prompt_batches = PromptBatches(
        engine, [model.encode_clip(clip) for clip in clips], orders, EMOTIONS, EMOTIONS, BUDGET
    )
    random, results = np.random.default_rng(5), []
    for scale in SCALES:
        with scaled(gates, random.random((len(gates), gates[0].width)) < 0.2, scale, "fold"):
            results.append(prompt_batches.answer(NEW))
    return results


def margins(rows: AnswerRows) -> npt.NDArray[np.float32]:
    """Difference of each utterance's two best options, in nats."""
    best = np.sort(rows.logprob, axis=-1)
    return np.asarray(best[:, -1] - best[:, -2])


def test_in_float32_every_answer_is_the_same(clips: list[npt.NDArray[np.float32]]) -> None:
    model = model_in("float32")
    padded, packed = (answered(model, clips, way) for way in (False, True))
    for expected, rows in zip(padded, packed, strict=True):
        assert rows.text == expected.text
        np.testing.assert_allclose(rows.logprob, expected.logprob, atol=1e-4)
    assert len({text for rows in padded for text in rows.text}) > 3, "all answers are alike"


def test_in_bfloat16_only_ties_differ(clips: list[npt.NDArray[np.float32]]) -> None:
    model = model_in("bfloat16")
    assert model.dtype == torch.bfloat16
    padded, packed = (answered(model, clips, way) for way in (False, True))
    differs = np.array([p.answer != q.answer for p, q in zip(padded, packed, strict=True)])
    margin = np.array([margins(rows) for rows in padded])
    assert (margin > TIE).mean() > 0.8, "where most are ties, little is shown"
    assert (margin[differs] <= TIE).all(), f"{margin[differs].max()} apart, and yet another answer"
    assert differs.sum() <= 0.02 * differs.size, f"{differs.sum()} ties of {differs.size} answers fell otherwise"
