"""Fixtures of all tests: a small real model and a finished store. A slow machine never fails a property test.

Heavy imports are inside the fixtures: the tests of light packages run without torch.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings

from esn_dist.seeds import digest
from esn_dist.selection.count_sums import sum_blocks
from esn_dist.selection.identification_sets import identification_set
from esn_dist.selection.masks import budget, random_mask, top_neurons
from esn_dist.selection.selection_input import scores_of
from esn_dist.store import create, write
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import count_blocks
from esn_dist.store.tables import CellTable, ExclusionTable, MaskTable, UtteranceTable, in_whole_shards

if TYPE_CHECKING:
    from esn_dist.models.qwen2_5_omni.adapter import Qwen25Omni

# Set before torch is imported: at these sizes a second thread costs more time than it saves.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("esn_dist", deadline=None)
settings.load_profile("esn_dist")

EMOTIONS = ("anger", "joy", "sadness")
CORPORA = ("studio", "room")
LAYERS, WIDTH, FRACTION = 4, 16, "0.1"
HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="session")
def omni() -> Qwen25Omni:
    """A random Qwen2.5-Omni Thinker, float32. Not trained, so that no answer is easy."""
    import torch

    from esn_dist.models.qwen2_5_omni.adapter import Qwen25Omni
    from esn_dist.models.tiny.architecture import TinySize, build, feature_extractor, tokenizer

    size = TinySize(hidden=32, layers=3, gates=64, audio_width=32, audio_layers=2, audio_ffn=64)
    thinker = build(size, seed=1)
    torch.manual_seed(2)
    with torch.no_grad():
        for weight in thinker.parameters():
            if weight.dim() > 1:  # the usual spread of 0.02 gives almost constant logits
                weight.normal_(0.0, 0.2)
    return Qwen25Omni(thinker, tokenizer(), feature_extractor())


@pytest.fixture(scope="session")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep of one model on two corpora, written through the store's own functions. Read it only.

    Three emotions; RND (two seeds), MAD and ConAct at r = 0.1; deactivation and two gains. Studio's ConAct masks
    are deactivated on room too. Deactivating a mask costs its own emotion most. One clip is unreadable, one answer
    names no option, one corpus excludes two clips. Texts of the model and the corpus contain HTML.
    """
    folder = StoreFolder(tmp_path_factory.mktemp("store") / "small")
    create.create_root(folder, {"sweep": "small", "seed": 7})
    for corpus in CORPORA:
        _add_corpus(folder, corpus)
    create.add_model(folder, "tiny", LAYERS, WIDTH, {"weights": "abc123", "model": "tiny-qwen2.5-omni"})
    for corpus in CORPORA:
        _add_counts(folder, corpus)
    masks = _add_masks(folder)
    for corpus in CORPORA:
        _add_answers(folder, corpus, masks)
    _add_surroundings(folder)
    return folder.root


def _utterances(prefix: str, per_emotion: int, random: np.random.Generator) -> UtteranceTable:
    labels = [EMOTIONS[number % 3] for number in range(3 * per_emotion)]
    names = [f"{prefix}{number:02d}" for number in range(len(labels))]
    return UtteranceTable(
        id=tuple(names),
        speaker=tuple(f"Zoë{number % 4}" for number in range(len(labels))),
        label=tuple(labels),
        option_number=tuple(tuple(map(int, random.permutation([1, 2, 3]))) for _ in labels),
        split=("test",) * len(labels),
        path=tuple(f"audio/{name}.wav" for name in names),
        samples=(16000,) * len(labels),
        sha256=tuple(map(digest, names)),
    )


def _add_corpus(folder: StoreFolder, corpus: str) -> None:
    random = np.random.default_rng(CORPORA.index(corpus))
    pool = in_whole_shards(_utterances("i", 36, random), EMOTIONS)
    excluded = ExclusionTable.from_rows([("x1", "joy", "unreadable", HOSTILE), ("x2", "", "silent", "")])
    identity = {"identification": {"cap": 30}, "type": "manifest"}
    evaluation = _utterances("e", 12, random)
    create.add_corpus(
        folder, corpus, EMOTIONS, evaluation, pool, excluded if corpus == "room" else excluded.take(()), identity
    )


def _add_counts(folder: StoreFolder, corpus: str) -> None:
    """Neuron n fires more for emotion n % 3, the more the higher n is."""
    create.add_counts(folder, "tiny", corpus)
    random = np.random.default_rng(10 + CORPORA.index(corpus))
    rows = {emotion: slice(64 * code, 64 * code + 64) for code, emotion in enumerate(EMOTIONS)}
    for code, emotion in enumerate(EMOTIONS):
        rate = np.full((LAYERS, WIDTH), 0.3)
        rate[:, code::3] += 0.02 * np.arange(WIDTH)[code::3]
        T = np.stack([random.integers(80, 120, 36), np.full(36, 40), np.zeros(36, int)], axis=1)
        answer = np.where(np.arange(36) < 32, code, (code + 1) % 3)
        write.write_counts(
            folder, "tiny", corpus, rows[emotion], K=random.binomial(T[:, :, None, None], rate), T=T,
            answer=answer, outcome=np.ones(36, int), logprob=random.normal(size=(36, 3)), text=["2"] * 36,
        )  # fmt: skip


def _add_masks(folder: StoreFolder) -> MaskTable:
    members, rows, parts = [], [], (0, 1, 2)
    neurons = budget(FRACTION, LAYERS * WIDTH)
    for seed in range(2):
        rows.append((f"rnd{seed}", "RND", "", "", float(FRACTION), seed, 0, "", neurons))
        members.append(random_mask(LAYERS, WIDTH, neurons, 7, "tiny", seed))
    for corpus in CORPORA:
        labels = [label for block in count_blocks(folder, "tiny", corpus) for label in block.label]
        right = np.concatenate(
            [np.array(b.label) == np.array(EMOTIONS)[b.answer] for b in count_blocks(folder, "tiny", corpus)]
        )
        chosen = identification_set(labels, right, EMOTIONS, cap=30)
        firing = sum_blocks(chosen, ((b.K, b.T) for b in count_blocks(folder, "tiny", corpus)), parts)
        for selector in ("MAD", "ConAct"):
            members += list(top_neurons(scores_of(selector, firing), neurons))
            rows += [
                (
                    f"{selector}-{corpus}-{e}",
                    selector,
                    corpus,
                    e,
                    float(FRACTION),
                    -1,
                    0,
                    "audio+text+generated",
                    neurons,
                )
                for e in EMOTIONS
            ]
    table = MaskTable.from_rows(rows)
    create.add_masks(folder, "tiny", table)
    identified = np.array([0 if row[1] == "RND" else 30 for row in rows])
    write.write_masks(folder, "tiny", slice(0, len(rows)), member=np.array(members), identified=identified)
    return table


def _add_answers(folder: StoreFolder, corpus: str, masks: MaskTable) -> None:
    nan = float("nan")
    cells = [("base", "baseline", "", "", "", nan, -1, "", 0.0, nan)]
    for position in range(len(masks)):
        name, selector, source_corpus, emotion, fraction, seed = masks.row(position)[:6]
        same, transfer = source_corpus in ("", corpus), (selector, corpus) == ("ConAct", "room")
        if same or transfer:
            for intervention, alpha in (("deactivate", -1.0), ("steer", 0.3), ("steer", 1.0))[: 3 if same else 1]:
                cells.append(
                    (
                        f"{name}@{alpha}",
                        intervention,
                        selector,
                        source_corpus,
                        emotion,
                        fraction,
                        seed,
                        name,
                        alpha,
                        nan,
                    )
                )
    table = CellTable.from_rows(cells)
    create.add_answers(folder, "tiny", corpus, table, block=len(table))
    labels = np.array([number % 3 for number in range(36)])
    random = np.random.default_rng(20 + CORPORA.index(corpus))
    before = np.where(random.random(36) < 0.75, labels, (labels + 1) % 3)
    answer = np.array([_answers_of(row, before, labels, random) for row in cells])
    outcome = np.ones(answer.shape, int)
    outcome[:, 0] = 3
    outcome[1, 1] = 2
    answer[outcome != 1] = -1
    logprob = random.normal(-3, 0.2, (*answer.shape, 3)) + 2.5 * (answer[:, :, None] == np.arange(3))
    text = [[str(a + 1) if a >= 0 else "" for a in row] for row in answer]
    text[1][1] = HOSTILE
    write.write_answers(
        folder, "tiny", corpus, slice(0, len(table)), answer=answer, outcome=outcome,
        logprob=logprob.astype(np.float32), text=text,
    )  # fmt: skip


def _answers_of(
    cell: tuple[object, ...], before: np.ndarray, labels: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Deactivation loses most right answers of the mask's emotion; steering moves answers to this emotion."""
    _, intervention, selector, _, source, *_, alpha = cell
    if intervention == "baseline" or selector == "RND":
        return np.where(random.random(36) < 0.05, (before + 1) % 3, before)
    target = EMOTIONS.index(str(source))
    if intervention == "deactivate":
        return np.where((before == target) & (random.random(36) < 0.8), (target + 1) % 3, before)
    assert isinstance(alpha, float)
    return np.where(random.random(36) < 0.2 * alpha, target, before)


def _add_surroundings(folder: StoreFolder) -> None:
    """The files next to the data: the run's provenance, and a failed unit."""
    facts = {"started": "2026-01-02T03:04:05+00:00", "finished": "2026-01-02T03:05:05+00:00", "host": HOSTILE}
    facts |= {"command": "esn-dist run small.yaml", "git": "0123abc", "ended": "to its end", "sweep": "name: small"}
    folder.provenance.mkdir()
    folder.log.mkdir()
    (folder.provenance / "20260102T030405-1.json").write_text(json.dumps(facts), encoding="utf-8")
    state: dict[str, object] = {
        "steps": {},
        "running": [],
        "failed": {"answer-9": HOSTILE},
        "eta_seconds": None,
        "updated": "2026",
    }
    (folder.log / "state.json").write_text(json.dumps({"tiny": state}), encoding="utf-8")
