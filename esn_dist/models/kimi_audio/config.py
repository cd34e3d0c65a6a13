"""Kimi-Audio's three configurations, read from JSON; nothing is left to a class's defaults.

The published `config.json` has no `model_type` and asks for remote code, so no Auto class reads it. A missing value is
refused: the defaults of the remote class, such as a rotary base of 10,000, are not the checkpoint's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import Qwen2Config, WhisperConfig

from esn_dist.errors import UserError
from esn_dist.models.checkpoint import read_config

ARCHITECTURE = "MoonshotKimiaForCausalLM"
WHISPER = "whisper-large-v3"
SPEECH_TOKENIZER = "glm-4-voice-tokenizer"  # subfolder, as the adapter's companion in models.yaml
COPIED = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "hidden_act", "rms_norm_eps", "rope_theta", "max_position_embeddings",
    "tie_word_embeddings",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Specials:
    """Ids of the special tokens of an audio prompt; they follow the base tokens at fixed offsets."""

    base: int

    @property
    def message_end(self) -> int:
        return self.base + 2

    @property
    def media_begin(self) -> int:
        return self.base + 18

    @property
    def media_end(self) -> int:
        return self.base + 20

    @property
    def blank(self) -> int:
        """Filler of a stream where the other one has a token; its trained embedding is added at every position."""
        return self.base + 23

    @property
    def text_end(self) -> int:
        """The only token that ends a text answer."""
        return self.base + 24

    @property
    def user(self) -> int:
        return self.base + 27

    @property
    def assistant(self) -> int:
        return self.base + 28

    @property
    def answer_in_text(self) -> int:
        """Asks for text without speech; only used where the turn's last message is audio."""
        return self.base + 32


@dataclass(frozen=True, slots=True)
class SpeechTokenizerConfig:
    """GLM-4-Voice's speech tokenizer.

    Attributes:
        encoder: sizes of its Whisper layers.
        layers: number of layers below the quantizer.
        codes: size of the codebook.
        pool: frames (50 a second) averaged into one code.
        block: frames within which attention looks ahead.
    """

    encoder: WhisperConfig
    layers: int
    codes: int
    pool: int
    block: int


@dataclass(frozen=True, slots=True)
class KimiConfig:
    """The whole model.

    Attributes:
        text: the 28 layers that produce text; a plain Qwen2.
        adaptor_width: width of a continuous feature, which is four Whisper positions concatenated.
        audio_offset: token id of code 0.
        mimo_layers: layers of the speech branch, which is neither loaded nor run.
    """

    text: Qwen2Config
    whisper: WhisperConfig
    speech_tokenizer: SpeechTokenizerConfig
    specials: Specials
    adaptor_width: int
    audio_offset: int
    mimo_layers: int


def read_kimi(folder: Path, glm: Path) -> KimiConfig:
    """The configuration of a checkpoint in `folder`, with the speech tokenizer's in `glm`.

    Raises:
        UserError: the folder is another model's, or a value is missing.
    """
    raw = read_config(folder)
    if raw.get("architectures") != [ARCHITECTURE]:
        raise UserError(
            f"the folder holds {raw.get('architectures')}", where=str(folder), expected=ARCHITECTURE,
            fix="give the folder of moonshotai/Kimi-Audio-7B-Instruct",
        )  # fmt: skip
    values = _Values(raw, folder)
    return KimiConfig(
        Qwen2Config(**{name: values[name] for name in COPIED}),
        _whisper(_Values(read_config(folder / WHISPER), folder / WHISPER)),
        _speech_tokenizer(_Values(read_config(glm), glm)),
        Specials(values["num_base_tokens"]),
        values["kimia_adaptor_input_dim"],
        values["kimia_token_offset"],
        values["kimia_mimo_layers"],
    )


class _Values:
    """A JSON object in which a missing value is an error."""

    def __init__(self, values: dict[str, Any], folder: Path) -> None:
        self.values, self.folder = values, folder

    def __getitem__(self, name: str) -> Any:
        if name not in self.values:
            raise UserError(f"{name!r} is missing", where=str(self.folder / "config.json"))
        return self.values[name]


def _whisper(values: _Values, layers: int | None = None) -> WhisperConfig:
    names = ("d_model", "encoder_attention_heads", "encoder_ffn_dim", "num_mel_bins", "max_source_positions")
    return WhisperConfig(
        **{name: values[name] for name in names},
        encoder_layers=values["encoder_layers"] if layers is None else layers,
        activation_function="gelu",
    )


def _speech_tokenizer(values: _Values) -> SpeechTokenizerConfig:
    for name, supported in (
        ("encoder_causal_convolution", True), ("encoder_causal_attention", False), ("pooling_type", "avg"),
    ):  # fmt: skip
        if values[name] != supported:
            raise UserError(
                f"{name} is {values[name]!r}", where=str(values.folder / "config.json"), expected=repr(supported)
            )
    layers = values["quantize_position"]
    if values["pooling_position"] != layers:
        raise UserError("pooling_position differs from quantize_position", where=str(values.folder / "config.json"))
    return SpeechTokenizerConfig(
        _whisper(values, layers), layers, values["quantize_vocab_size"], values["pooling_kernel_size"],
        values["quantize_causal_block_size"],
    )  # fmt: skip
