"""A real sweep of a model of experts: counts, masks and answers in the store are those of slow references.

Tiny random Qwen3-Omni-MoE (Thinker) through the generic adapter, from a folder as the hub has it. Its head knows two
tokens, "1" and "2", and one of them always leads, so that every question is answered.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import torch
import xarray as xr
from rich.console import Console
from torch.nn.functional import linear

from esn_dist.backends.ray_session import RayBackend
from esn_dist.errors import UserError
from esn_dist.models.generic.adapter import GenericAudioLM
from esn_dist.models.placement import Placement
from esn_dist.runner.driver import run as drive
from esn_dist.runner.progress import ProgressDisplay
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import describe, open_answers, open_counts, open_masks, read_model
from esn_dist.sweep.load import load_sweep
from esn_dist.task.prompt import option_order, question
from esn_dist.terms import Part
from tests.models.random_models import drawn, qwen3_omni_moe, save
from tests.runner.planted import write_corpus

EMOTIONS = ("anger", "joy")
LAYERS, EXPERTS, INSIDE = 3, 4, 24
WIDTH = EXPERTS * INSIDE
CHOSEN = 2  # experts for each position
FRACTION = 0.4
MODELS = "models: [{name: experts, source: model}]"
SWEEP = f"""\
name: experts
seed: 1
store: store
max_new_tokens: 1
{MODELS}
corpora:
  - name: tones
    type: manifest
    path: tones/manifest.csv
    emotions: [{", ".join(EMOTIONS)}]
    evaluation: {{splits: [test], per_emotion: 6}}
    identification: {{splits: [train], candidates: 16, cap: 16}}
studies:
  one:
    selectors: [RND, LAPE, MAD, ConAct]
    fractions: {FRACTION}
    seeds: 1
    interventions: [deactivate, {{type: steer, alpha: 0.5}}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experts")
    model, processor = drawn(qwen3_omni_moe)
    with torch.no_grad():
        token_1, token_2 = processor.tokenizer.convert_tokens_to_ids(["1", "2"])
        row = model.lm_head.weight[token_1].clone()
        model.lm_head.weight.zero_()
        model.lm_head.weight[token_1], model.lm_head.weight[token_2] = row, -row
    save(model, processor, folder / "model")
    write_corpus(folder / "tones", evaluation=6, identification=16)
    (folder / "sweep.yaml").write_text(SWEEP, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def store(folder: Path, runner: Any) -> StoreFolder:
    runner.run(folder / "sweep.yaml")
    return StoreFolder(folder / "store")


@pytest.fixture(scope="module")
def lm(folder: Path) -> GenericAudioLM:
    return GenericAudioLM.load(folder / "model", torch.float32, Placement(), GenericAudioLM.settings)


@pytest.fixture(scope="module")
def counts(store: StoreFolder) -> xr.Dataset:
    return open_counts(store, "experts", "tones").load()


def inputs(lm: GenericAudioLM, folder: Path, id: str) -> tuple[Any, npt.NDArray[np.int8]]:
    """The processor's own inputs of one utterance's question, and the part of each position."""
    wave, _ = soundfile.read(folder / "tones" / f"{id}.wav", dtype="float32")
    text = question(option_order(EMOTIONS, 1, "tones", id))
    return lm.official_inputs(wave, text), lm.prompt(len(lm.encode_clip(wave)), text).part_L


def test_the_store_says_that_there_are_experts(store: StoreFolder) -> None:
    facts = read_model(store, "experts")
    assert facts and (facts["layers"], facts["width"], facts["experts"]) == (LAYERS, WIDTH, EXPERTS)


def test_every_position_was_sent_to_its_experts_and_fired_at_most_as_often(counts: xr.Dataset) -> None:
    assert counts.sizes["utterance"] == 32 and (counts.outcome == 1).all()
    assert (counts.T_expert.sum("expert") == CHOSEN * counts["T"]).all()
    assert (counts["T"].sel(part=["audio", "text"]) > 0).all()
    K = counts.K.values.reshape(*counts.K.shape[:-1], EXPERTS, INSIDE)
    assert (K.max(-1) <= counts.T_expert).all()
    assert 0.2 < K.sum() / (INSIDE * int(counts.T_expert.sum())) < 0.8, "gates that open and close"


def test_counts_are_those_of_a_loop_over_positions(counts: xr.Dataset, lm: GenericAudioLM, folder: Path) -> None:
    utterance = counts.isel(utterance=5)
    given, part_L = inputs(lm, folder, str(utterance.utterance.item()))
    K, T = np.zeros(utterance.K.shape, int), np.zeros(utterance.T_expert.shape, int)

    def loop(layer: int, module: Any, args: Any) -> None:
        for position, (x_D, chosen) in enumerate(zip(args[0], args[1].tolist(), strict=True)):
            for expert in chosen if part_L[position] >= 0 else ():
                u_I = linear(x_D, module.gate_up_proj[expert])[:INSIDE]
                K[part_L[position], layer, expert * INSIDE : (expert + 1) * INSIDE] += (u_I > 0).numpy()
                T[part_L[position], layer, expert] += 1

    hooks = [
        layer.mlp.experts.register_forward_pre_hook(lambda module, args, i=i: loop(i, module, args))
        for i, layer in enumerate(lm.model.get_decoder().layers)
    ]
    with torch.no_grad():
        lm.model(**given)
    for hook in hooks:
        hook.remove()
    assert np.array_equal(utterance.T_expert, T) and T[Part.AUDIO].sum() and T[Part.TEXT].sum()
    # A pre-activation within rounding of zero may fall on either side in another batch shape.
    assert np.abs(utterance.K.values.astype(int) - K).sum() <= 2


def test_masks_rank_by_what_each_expert_was_sent(store: StoreFolder, counts: xr.Dataset) -> None:
    """ConAct by hand: P = K / T_expert over the first n correctly answered utterances of each emotion."""
    masks = open_masks(store, "experts").load()
    assert masks.sizes["mask"] == 1 + 3 * len(EMOTIONS)
    conact = masks.sel(mask=masks.selector == "ConAct")
    used = int(conact.identified[0])
    P = []
    for code, emotion in enumerate(EMOTIONS):
        right = counts.sel(utterance=(counts.label == emotion) & (counts.answer == code)).isel(utterance=slice(used))
        K, T = (right[name].sel(part=["audio", "text"]).sum(["utterance", "part"]).values for name in ("K", "T_expert"))
        assert right.sizes["utterance"] == used and (T > 0).all()
        P.append(K / np.repeat(T, INSIDE, axis=-1))
    for emotion, lead_LN in zip(EMOTIONS, (P[0] - P[1], P[1] - P[0]), strict=True):
        member_LN = conact.member.sel(mask=conact.source_emotion == emotion).values[0]
        assert member_LN.sum() == round(FRACTION * LAYERS * WIDTH)
        assert lead_LN[member_LN].min() >= lead_LN[~member_LN].max() - 1e-12


def test_answers_are_those_of_generate_with_and_without_the_masked_columns(
    store: StoreFolder, lm: GenericAudioLM, folder: Path
) -> None:
    answers = open_answers(store, "experts", "tones").load()
    assert (answers.outcome == 1).all() and set(answers.answer.values.ravel()) == {0, 1}
    baseline = answers.sel(cell=answers.intervention == "baseline").answer.values[0].tolist()
    assert baseline == slowly(lm, folder, answers, np.zeros((LAYERS, WIDTH), np.bool_))
    masks = open_masks(store, "experts").load()
    deactivated = []
    for selector in ("LAPE", "MAD", "ConAct"):
        cells = answers.sel(cell=(answers.selector == selector) & (answers.source_emotion == "joy"))
        deactivated.append(cells.sel(cell=cells.intervention == "deactivate").answer.values[0].tolist())
        member_LN = masks.member.sel(mask=(masks.selector == selector) & (masks.source_emotion == "joy")).values[0]
        assert deactivated[-1] == slowly(lm, folder, answers, member_LN)
    assert any(answer != baseline for answer in deactivated), "a deactivation that changes no answer shows nothing"


def test_mix_on_experts_is_refused_before_a_corpus_is_read(folder: Path) -> None:
    """And not as a TypeError in an actor, days later."""
    mixed = folder / "mixed.yaml"
    text = SWEEP.replace("store: store", "store: mixed").replace("{type: steer, alpha: 0.5}", "{type: mix, alpha: 0.5}")
    mixed.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"study 'one' asks for mix on model 'experts', .* of 4 experts"):
        drive(load_sweep(mixed), text, RayBackend(), actors=1, progress=ProgressDisplay(Console()))
    assert describe(StoreFolder(folder / "mixed")).corpora == {}


def slowly(lm: GenericAudioLM, folder: Path, answers: xr.Dataset, member_LN: npt.NDArray[np.bool_]) -> list[int]:
    """Emotion codes that the model's own generate gives, one by one, without the columns of the masked neurons."""
    kept = []
    for layer, experts in enumerate(layer.mlp.experts for layer in lm.model.get_decoder().layers):
        kept.append(experts.down_proj.data.clone())
        for neuron in np.flatnonzero(member_LN[layer]):
            experts.down_proj.data[neuron // INSIDE, :, neuron % INSIDE] = 0
    codes = []
    for id in answers.utterance.values:
        given, _ = inputs(lm, folder, str(id))
        token = lm.model.generate(**given, max_new_tokens=1, do_sample=False, pad_token_id=0)[0, -1:]
        codes.append(EMOTIONS.index(option_order(EMOTIONS, 1, "tones", str(id))[int(lm.decode(token.tolist())) - 1]))
    for layer, down in zip(lm.model.get_decoder().layers, kept, strict=True):
        layer.mlp.experts.down_proj.data.copy_(down)
    return codes
