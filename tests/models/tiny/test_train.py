"""Training sees what the runner later asks: the same token ids, the same audio rows; and it learns."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from esn_dist.corpora.synthetic import SYNTHETIC_EMOTIONS
from esn_dist.models.placement import Placement
from esn_dist.models.qwen2_5_omni.adapter import Qwen25Omni
from esn_dist.models.tiny import train
from esn_dist.models.tiny.architecture import TinySize, build, feature_extractor, save, tokenizer
from esn_dist.models.tiny.prompts import Prompts
from esn_dist.models.tiny.speech import Speech, load_speech
from esn_dist.models.tiny.train import Phase, Recipe, Trainer
from esn_dist.task.prompt import question

ROOT = Path(__file__).parents[3]
COMMAND = re.compile(r"python -m esn_dist\.models\.tiny\.train (--[^#\n`]+)")
SIZE = TinySize(hidden=32, gates=16, audio_width=32, audio_ffn=32)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Qwen25Omni:
    folder = tmp_path_factory.mktemp("model")
    save(build(SIZE, seed=0), folder)
    return Qwen25Omni.load(folder, torch.float32, Placement(), Qwen25Omni.settings)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, random = tmp_path_factory.mktemp("corpus"), np.random.default_rng(1)
    lines = ["id,path,emotion,speaker,split"]
    for number, seconds in enumerate((0.4, 0.9, 1.3)):
        soundfile.write(folder / f"{number}.wav", 0.1 * random.standard_normal(int(16_000 * seconds)), 16_000)
        lines.append(f"{number},{number}.wav,{SYNTHETIC_EMOTIONS[number]},s,train")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("rows", [1, 12])
@pytest.mark.parametrize("order", [0, 17, 119])
def test_a_training_prompt_has_the_ids_of_the_runners_prompt(adapter: Qwen25Omni, rows: int, order: int) -> None:
    prompts = Prompts(SYNTHETIC_EMOTIONS, torch.device("cpu"))
    batch = prompts.choice(torch.tensor([rows]), torch.tensor([2]), torch.tensor([order]), width=20)
    prompt = adapter.prompt(rows, question([SYNTHETIC_EMOTIONS[code] for code in prompts.orders[order]]))
    last = int(batch.last_B[0])
    assert batch.ids_BL[0, : last + 1].tolist() == prompt.ids_L.tolist()
    number = prompts.orders[order].index(2) + 1
    assert adapter.decode(batch.ids_BL[0, last + 1 : last + 2].tolist()) == str(number)
    assert int(batch.ids_BL[0, last + 2]) == adapter.stop_ids[0]


def test_training_uses_the_audio_embeddings_that_a_sweep_encodes(corpus: Path) -> None:
    model = build(SIZE, seed=0)
    speech = load_speech([corpus], "train", SYNTHETIC_EMOTIONS, model)
    tower = model.model.audio_tower
    runner = Qwen25Omni(
        model, tokenizer(), feature_extractor()
    )  # the very model that trains, not a copy in half precision
    for number in range(3):
        wave, _ = soundfile.read(corpus / f"{number}.wav", dtype="float32")
        rows_RD = runner.encode_clip(wave)
        trained_RD = tower.proj(tower.ln_post(speech.rows_NRE[number, : speech.rows_N[number]]))
        torch.testing.assert_close(rows_RD, trained_RD.detach(), rtol=1e-4, atol=1e-4)


def test_it_learns_what_sort_of_answer_is_due() -> None:
    answers: list[str] = []
    phases = (Phase("reading", 200, look_up=1.0), Phase("listening", 2, choice=1.0))
    trainer = Trainer(replace(Recipe(), size=SIZE, batch=16, phases=phases), seed=0, device=torch.device("cpu"))
    trainer.fit(_noise(), answers.append)
    # Untrained: log(304 words) = 5.7. Who knows that a digit and a stop are due: log(5) / 2 = 0.8.
    assert float(answers[1].split()[-1]) < 1.0
    assert answers[-1].startswith("listening 2/2")


def test_nothing_of_the_audio_tower_moves_but_its_last_norm_and_projection() -> None:
    phases = (Phase("reading", 1, look_up=1.0), Phase("listening", 3, choice=1.0))
    trainer = Trainer(replace(Recipe(), size=SIZE, batch=8, phases=phases), seed=0, device=torch.device("cpu"))
    before = {name: value.clone() for name, value in trainer.tower.state_dict().items()}
    trainer.fit(_noise(), lambda line: None)
    moved = {name for name, value in trainer.tower.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"ln_post.weight", "ln_post.bias", "proj.weight", "proj.bias"}


def test_the_documented_command_writes_a_checkpoint_and_how_it_was_trained(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (options,) = COMMAND.findall((ROOT / "docs/tiny_model.md").read_text(encoding="utf-8"))
    recipe = replace(Recipe(), size=SIZE, batch=8, phases=(Phase("reading", 1, look_up=1.0),) * 2)
    monkeypatch.setattr(train, "Recipe", lambda: recipe)
    monkeypatch.setattr(train, "materialise", lambda *arguments: corpus)
    words = [str(tmp_path / "model") if word == "FOLDER" else word for word in options.split()]
    monkeypatch.setattr(sys, "argv", ["train", *words, "--device", "cpu"])
    train.main()
    record = json.loads((tmp_path / "model/training.json").read_text(encoding="utf-8"))
    assert record["seed"] == 3 and record["recipe"]["size"] == asdict(SIZE)
    assert Qwen25Omni.load(tmp_path / "model", torch.float32, Placement(), Qwen25Omni.settings).tokenizer


def _noise() -> Speech:
    generator = torch.Generator().manual_seed(0)
    rows_NRE = torch.randn(20, 6, SIZE.audio_width, generator=generator)
    return Speech(rows_NRE, torch.full((20,), 6), torch.arange(20) % 5, torch.zeros(20, dtype=torch.long))
