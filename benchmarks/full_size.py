"""The paper's three models at full size with random weights: written as their published folders, loaded, and measured.

    python benchmarks/full_size.py write kimi-audio-7b /data/kimi    # 22 GB; official names, shards, subfolders
    python benchmarks/full_size.py measure kimi-audio-7b /data/kimi  # load time, memory, clips/s, answers/s as JSON

No download and no licence: what is measured depends on shapes alone. `--small` writes the same files at a thousandth of
the size. Answers of such weights mean nothing, but they are one of the options' numbers and a stop token (see
`ForcedAnswers`). So the folder can be a model's `source` in a real sweep, with answers as long as a trained model's.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
import typer
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AudioFlamingo3Config,
    AudioFlamingo3ForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen2_5OmniThinkerConfig,
    Qwen2_5OmniThinkerForConditionalGeneration,
    WhisperFeatureExtractor,
)

from esn_dist.gates.find import find_gates
from esn_dist.gates.scale import scaled
from esn_dist.inference.packed.engine import make_engine
from esn_dist.inference.selfcheck import clip
from esn_dist.models.audio_lm import AudioLM
from esn_dist.models.from_pretrained import skeleton
from esn_dist.models.kimi_audio.config import ARCHITECTURE, SPEECH_TOKENIZER, WHISPER, read_kimi
from esn_dist.models.kimi_audio.network import KimiNetwork
from esn_dist.models.loading import load
from esn_dist.sweep.spec import ModelSpec
from esn_dist.task.prompt import option_order, question
from esn_dist.worker.prompt_batches import PromptBatches
from speed.encoded import encode_all

Shapes = dict[str, tuple[int, ...]]
SHARD = 4_500_000_000  # bytes of one file, about as published
BUDGET = 65_536  # tokens of a batch
EMOTIONS = ("anger", "frustration", "joy", "neutral", "sadness", "surprise")
PROMPTS = "You are a helpful assistant. system user assistant"
TURN = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for p in m['content'] %}{% if p['type'] == 'audio' %}"
    "AUDIO{% else %}{{ p['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
SMALL_TEXT = {"hidden_size": 56, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 7}
SMALL_TEXT |= {"num_key_value_heads": 1, "vocab_size": 1_600}
ENDS = {0: "<|endoftext|>", 1: "<|im_start|>", 2: "<|im_end|>"}


@dataclass(frozen=True)
class ForcedAnswers:
    """Weights that answer some option's number, then the stop token.

    The numbers' rows of the head are ten times larger than others, so one of them is generated first. All numbers are
    embedded as one long vector, which dominates the stream, and the stop token's row of the head is parallel to it. So
    the stop token comes next, and hardly ever before.
    """

    numbers: tuple[int, ...]
    stop: int

    HEAD_FACTOR: ClassVar = 10.0
    EMBEDDING_FACTOR: ClassVar = 100.0

    def applied_to(self, name: str, weight_VD: torch.Tensor) -> torch.Tensor:
        """The weight `name` with these answers, if it is the embedding or the head; any other weight unchanged."""
        along_D = torch.randn(weight_VD.shape[-1], generator=torch.Generator().manual_seed(1)).to(weight_VD.dtype)
        if name.endswith("embed_tokens.weight"):
            weight_VD[list(self.numbers)] = self.EMBEDDING_FACTOR * along_D
        elif name.endswith("lm_head.weight"):
            weight_VD[list(self.numbers)] *= self.HEAD_FACTOR
            weight_VD[self.stop] = 0.04 * along_D
        return weight_VD


app = typer.Typer(add_completion=False)


@app.command()
def write(
    model: str, folder: Path, small: Annotated[bool, typer.Option("--small", help="A thousandth of the size.")] = False
) -> None:
    """Write the checkpoint folder of `model` with random weights."""
    folder.mkdir(parents=True, exist_ok=True)
    writers = {"qwen2.5-omni-7b": write_omni, "audio-flamingo-3": write_flamingo, "kimi-audio-7b": write_kimi}
    writers[model](folder, small)
    size = sum(p.stat().st_size for p in folder.rglob("*.safetensors"))
    typer.echo(json.dumps({"model": model, "folder": str(folder), "bytes": size}))


@app.command()
def measure(model: str, folder: Path, utterances: int = 256, new_tokens: int = 2) -> None:
    """Load the folder as a sweep would, and time encoding, answering, deactivated answering, and counting."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    started = time.perf_counter()
    lm = load(ModelSpec.model_validate({"name": model, "source": str(folder)}), device)  # type: ignore[arg-type]
    facts: dict[str, Any] = {"model": model, "device": torch.cuda.get_device_name() if device == "cuda" else "cpu"}
    facts["load_seconds"] = round(_since(started), 1)
    facts["weights_gb"] = _gigabytes("memory_allocated")
    clips = [clip(s) for s in np.random.default_rng(0).uniform(2, 8, utterances)]
    reads = [partial(np.asarray, samples) for samples in clips]
    encode_all(lm, reads[:1])  # the first clip allocates and picks kernels
    started = time.perf_counter()
    rows = encode_all(lm, reads)
    facts["clips_per_second"] = round(utterances / _since(started), 1)
    facts |= _answers(lm, rows, new_tokens)
    facts["peak_gb"] = _gigabytes("max_memory_allocated")
    typer.echo(json.dumps(facts, indent=1))


def _answers(lm: AudioLM, rows: list[torch.Tensor], new: int) -> dict[str, Any]:
    engine = make_engine(lm, kernels=lm.device.type == "cuda")
    orders = [option_order(EMOTIONS, 0, "full", str(n)) for n in range(len(rows))]
    prompt_batches = PromptBatches(engine, rows, orders, EMOTIONS, EMOTIONS, BUDGET)
    gates = find_gates(lm.decoder)
    member_LN = np.random.default_rng(0).random((len(gates), gates[0].width)) < 0.005

    def rate(counted: bool = False) -> float:
        started = time.perf_counter()
        prompt_batches.answer(new, counted=gates if counted else None)
        return round(len(rows) / _since(started), 1)

    rate()  # the first pass allocates and picks kernels
    prompts = [len(lm.prompt(len(r), question(EMOTIONS))) for r in rows]
    measured: dict[str, Any] = {"engine": type(engine).__name__, "tokens_per_prompt": round(float(np.mean(prompts)), 1)}
    measured |= {"shared_prefix": prompt_batches.prefix, "answers_per_second": rate()}
    with scaled(gates, member_LN, 0.0, "fold"):
        measured["deactivated_per_second"] = rate()
    return {**measured, "counted_per_second": rate(counted=True)}


def _since(started: float) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _gigabytes(name: str) -> float | None:
    return round(getattr(torch.cuda, name)() / 1e9, 2) if torch.cuda.is_available() else None


def write_omni(folder: Path, small: bool) -> None:
    """The whole model's layout: `thinker.` before every name, and a talker's weight that must be left alone."""
    specials = {151643: "<|endoftext|>", 151644: "<|im_start|>", 151645: "<|im_end|>", 151646: "<|AUDIO|>"}
    specials |= {151647: "<|audio_bos|>", 151648: "<|audio_eos|>"}
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
    untied = {"rope_parameters": rope, "tie_word_embeddings": False}
    vision = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": 3584}
    config: Any = Qwen2_5OmniThinkerConfig(text_config=untied, vision_config=vision, tie_word_embeddings=False)
    if small:
        specials = {i - 151643: name for i, name in specials.items()}
        rope["mrope_section"] = [1, 1, 2]
        tower = {"encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 32, "d_model": 16}
        tower |= {"output_dim": 56, "n_window": 100}
        vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 56}
        config = Qwen2_5OmniThinkerConfig(
            text_config={**SMALL_TEXT, **untied}, tie_word_embeddings=False,
            audio_config=tower, vision_config=vision, audio_token_index=3, image_token_index=8, video_token_index=9,
            audio_start_token_id=4, audio_end_token_id=5, user_token_id=10,
        )  # fmt: skip
    whole = {"architectures": ["Qwen2_5OmniModel"], "model_type": "qwen2_5_omni", "thinker_config": config.to_dict()}
    _write_json(folder / "config.json", whole)
    template = TURN.replace("AUDIO", "<|audio_bos|><|AUDIO|><|audio_eos|>")
    tokenizer = _tokenizer(config.text_config.vocab_size, specials, template)
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=128, chunk_length=300, return_attention_mask=True).save_pretrained(folder)
    moved = {"model.audio_tower.": "thinker.audio_tower.", "model.visual.": "thinker.visual."}
    moved |= {"model.language_model.": "thinker.model.", "lm_head.": "thinker.lm_head."}
    shapes = _renamed(skeleton(Qwen2_5OmniThinkerForConditionalGeneration, config), moved)
    _shards(folder, {**shapes, "talker.thinker_to_talker_proj.weight": (8, 8)}, answers=_forced_answers(tokenizer))


def write_flamingo(folder: Path, small: bool) -> None:
    """The hub's older names, which transformers turns into its own."""
    specials = {151643: "<|endoftext|>", 151644: "<|im_start|>", 151645: "<|im_end|>", 151669: "<sound>"}
    text: dict[str, Any] = {
        "model_type": "qwen2", "vocab_size": 151672, "hidden_size": 3584, "intermediate_size": 18944,
        "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4, "rope_theta": 1e6,
        "max_position_embeddings": 8192,
    }  # fmt: skip
    audio: dict[str, Any] = {}
    if small:
        specials = {**ENDS, 3: "<sound>"}
        text |= SMALL_TEXT
        audio = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 32}
    placeholder = next(i for i, name in specials.items() if name == "<sound>")
    config: Any = AudioFlamingo3Config(text_config=text, audio_config=audio, audio_token_id=placeholder)
    config.architectures = ["AudioFlamingo3ForConditionalGeneration"]
    config.save_pretrained(folder)
    tokenizer = _tokenizer(config.text_config.vocab_size, specials, TURN.replace("AUDIO", "<sound>"))
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=128, return_attention_mask=True).save_pretrained(folder)
    moved = {"model.language_model.": "language_model.model.", "lm_head.": "language_model.lm_head."}
    moved |= {"model.audio_tower.": "audio_tower.", "model.multi_modal_projector.": "multi_modal_projector."}
    shapes = _renamed(skeleton(AudioFlamingo3ForConditionalGeneration, config), moved)
    _shards(folder, shapes, answers=_forced_answers(tokenizer))


def write_kimi(folder: Path, small: bool) -> None:
    """All 453 names, the speech branch's among them, with the oddly named last shard; Whisper; the speech tokenizer."""
    base = 256 if small else 151643
    text = _write_kimi_configs(folder, small, base)
    _write_kimi_processors(folder, base)
    with torch.device("meta"):
        network = KimiNetwork(kimi := read_kimi(folder, folder / SPEECH_TOKENIZER))
    parameters = dict(network.named_parameters())
    shapes = {key: Shapes() for key in ("", WHISPER, SPEECH_TOKENIZER)}
    for name, key, spellings in network.stored_names():
        shapes[key][spellings[0]] = tuple(parameters[name].shape)
    speech_branch = _speech_branch(text, shapes[""])
    answers = ForcedAnswers(tuple(ord(str(n)) for n in range(1, len(EMOTIONS) + 1)), kimi.specials.text_end)
    _shards(folder, {**speech_branch, **shapes[""]}, odd="model-36-of-36.safetensors", answers=answers)
    _shards(folder / WHISPER, shapes[WHISPER])
    _shards(folder / SPEECH_TOKENIZER, shapes[SPEECH_TOKENIZER], torch.float32)


def _write_kimi_configs(folder: Path, small: bool, base: int) -> dict[str, Any]:
    """The three `config.json`; returns the decoder's sizes."""
    text: dict[str, Any] = {
        "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
        "num_key_value_heads": 4, **(SMALL_TEXT if small else {}), "vocab_size": base + 421 + 16384,
    }  # fmt: skip
    more: dict[str, Any] = {
        "architectures": [ARCHITECTURE], "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 1e6,
        "max_position_embeddings": 8192, "tie_word_embeddings": False, "num_base_tokens": base,
        "kimia_token_offset": base + 421, "kimia_adaptor_input_dim": 64 if small else 5120, "kimia_mimo_layers": 6,
    }  # fmt: skip
    sizes: dict[str, Any] = {"d_model": 1280, "encoder_attention_heads": 20, "encoder_ffn_dim": 5120}
    sizes = {"d_model": 16, "encoder_attention_heads": 2, "encoder_ffn_dim": 32} if small else sizes
    sizes |= {"num_mel_bins": 128, "max_source_positions": 1500}
    glm: dict[str, Any] = {
        "pooling_kernel_size": 4, "pooling_type": "avg", "pooling_position": 16, "quantize_position": 16,
        "quantize_vocab_size": 16384, "quantize_causal_block_size": 200, "encoder_causal_convolution": True,
        "encoder_causal_attention": False,
    }  # fmt: skip
    _write_json(folder / "config.json", text | more)
    _write_json(folder / WHISPER / "config.json", {"model_type": "whisper", **sizes, "encoder_layers": 32})
    _write_json(folder / SPEECH_TOKENIZER / "config.json", sizes | glm)
    return text


def _write_kimi_processors(folder: Path, base: int) -> None:
    """Both feature extractors, and a tokenizer of `base` ranks: the bytes, then fillers."""
    for key in (WHISPER, SPEECH_TOKENIZER):
        WhisperFeatureExtractor(feature_size=128).save_pretrained(folder / key)
    ranks = [bytes([i]) if i < 256 else b"\x00" + i.to_bytes(4, "big") for i in range(base)]
    lines = b"\n".join(base64.b64encode(token) + b" %d" % rank for rank, token in enumerate(ranks))
    (folder / "tiktoken.model").write_bytes(lines)


def _speech_branch(text: Mapping[str, Any], decoder: Shapes) -> Shapes:
    """Shapes of the branch that is stored and never loaded: six more layers, and the rotary tables of all layers."""
    layer = {n.removeprefix("model.layers.0."): s for n, s in decoder.items() if n.startswith("model.layers.0.")}
    branch: Shapes = {f"model.mimo_layers.{i}.{n}": s for i in range(6) for n, s in layer.items()}
    branch |= {
        "model.mimo_norm.weight": (text["hidden_size"],),
        "mimo_output.weight": (text["vocab_size"], text["hidden_size"]),
    }
    half = text["hidden_size"] // text["num_attention_heads"] // 2
    stems = [f"model.layers.{i}" for i in range(text["num_hidden_layers"])]
    stems += [f"model.mimo_layers.{i}" for i in range(6)]
    return branch | {f"{stem}.self_attn.rotary_emb.inv_freq": (half,) for stem in stems}


def _renamed(meta: Any, moved: Mapping[str, str]) -> Shapes:
    """Official names and shapes of a skeleton's parameters."""
    shapes = Shapes()
    for name, parameter in meta.named_parameters():
        start = next(start for start in moved if name.startswith(start))
        shapes[moved[start] + name.removeprefix(start)] = tuple(parameter.shape)
    return shapes


def _forced_answers(tokenizer: Any) -> ForcedAnswers:
    numbers = [tokenizer.convert_tokens_to_ids(str(n)) for n in range(1, len(EMOTIONS) + 1)]
    return ForcedAnswers(tuple(numbers), tokenizer.convert_tokens_to_ids("<|im_end|>"))


def _shards(
    folder: Path,
    shapes: Shapes,
    dtype: torch.dtype = torch.bfloat16,
    odd: str | None = None,
    answers: ForcedAnswers | None = None,
) -> None:
    """Random weights in files of at most `SHARD` bytes with an index; `odd` renames the last one."""
    groups = list(_groups(shapes, dtype.itemsize))
    generator = torch.Generator("cuda" if torch.cuda.is_available() else "cpu").manual_seed(0)
    placed: dict[str, str] = {}
    for number, names in enumerate(groups, start=1):
        file = f"model-{number:05}-of-{len(groups):05}.safetensors"
        file = odd if odd and number == len(groups) else file
        drawn = {n: _draw(n, shapes[n], dtype, generator) for n in names}
        drawn = {n: answers.applied_to(n, weight) if answers else weight for n, weight in drawn.items()}
        save_file(drawn, folder / file, {"format": "pt"})
        placed |= dict.fromkeys(names, file)
    _write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": placed})


def _groups(shapes: Shapes, itemsize: int) -> Iterator[list[str]]:
    names, size = list[str](), 0
    for name, shape in shapes.items():
        mine = itemsize * int(np.prod(shape))
        if names and size + mine > SHARD:
            yield names
            names, size = [], 0
        names.append(name)
        size += mine
    yield names


def _draw(name: str, shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator) -> torch.Tensor:
    """Spread 0.02 as at initialisation; norms are ones, as a trained model's nearly are."""
    if "norm" in name and name.endswith("weight"):
        return torch.ones(shape, dtype=dtype)
    drawn = torch.empty(shape, dtype=dtype, device=generator.device)
    return drawn.normal_(0.0, 0.02, generator=generator).cpu()


def _tokenizer(vocab: int, specials: dict[int, str], template: str) -> Any:
    """Bytes and the prompts' words as tokens, the special ones at their published ids, fillers elsewhere."""
    # A word with its space, as trained tokenizers have it; single letters are bytes already.
    words = sorted(set(re.findall(r" ?[A-Za-z]{2,}", f"{question(EMOTIONS)} {PROMPTS}")))
    known = iter([*sorted(pre_tokenizers.ByteLevel.alphabet()), *words])
    names = {i: specials.get(i) or next(known, None) or f"<filler_{i}>" for i in range(vocab)}
    core = Tokenizer(models.BPE(vocab={name: i for i, name in names.items()}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_tokens([AddedToken(word, normalized=False) for word in words])
    core.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in specials.values()])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<|endoftext|>", eos_token="<|im_end|>", chat_template=template
    )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


if __name__ == "__main__":
    app()
