"""Loads a checkpoint's processor: its class with tokenizer and feature extractor, without image and video parts.

Audio prompts never use those parts, and they need torchvision. Its wheels break every import of transformers if torch
is of another build. Knows nothing of models or prompts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import transformers
from transformers import AutoFeatureExtractor, AutoProcessor, AutoTokenizer
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES  # type: ignore[attr-defined]

from esn_dist.errors import UserError
from esn_dist.models.checkpoint import read_config

NAMED_IN = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json")
VISION = ("image", "video")
MISTRAL = "MistralCommonBackend"  # a tokenizer that makes prompts from messages without a template


def load_processor(source: Path) -> Any:
    """The processor of the folder `source`, without its vision parts.

    Raises:
        UserError: no class is named, the chat template is missing, or so is a package or file.
    """
    name = processor_class(source)
    try:
        cls: Any = getattr(transformers, name)
        if any(_is_vision(part) for part in cls.get_attributes()):
            processor = _audio_only(cls, source)
        else:
            processor = AutoProcessor.from_pretrained(source, trust_remote_code=False)
    except (ImportError, OSError, ValueError) as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(
            f"the model's processor, {name}, cannot be built: {reason.strip()}", where=str(source),
            fix="install the missing package, or download the missing file",
        ) from None  # fmt: skip
    if not processor.chat_template and type(processor.tokenizer).__name__ != MISTRAL:
        raise UserError("the processor has no chat template", where=str(source), expected="chat_template.jinja")
    return processor


def processor_class(source: Path) -> str:
    """Name of the processor's class in transformers: from a file of the folder, else by the model's type."""
    for file in NAMED_IN:
        if (source / file).is_file():
            name = json.loads((source / file).read_text(encoding="utf-8")).get("processor_class")
            if name and hasattr(transformers, name):
                return str(name)
    model_type = str(read_config(source).get("model_type")).removesuffix("_thinker")
    if default := PROCESSOR_MAPPING_NAMES.get(model_type):
        return str(default)
    raise UserError(
        f"transformers {transformers.__version__} has no processor for a model of type {model_type!r}",
        where=str(source), expected=f"processor_class in {' or '.join(NAMED_IN)}",
    )  # fmt: skip


def _is_vision(part: str) -> bool:
    return part.startswith(VISION)


def _audio_only(cls: Any, source: Path) -> Any:
    """A processor of `cls` whose vision parts are None, which `cls` itself would refuse."""

    class AudioOnly(cls):  # type: ignore[misc]
        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            return None if argument is None else super().check_argument_for_proper_class(argument_name, argument)

    settings, _ = cls.get_processor_dict(source)
    parts = [_part(part, source) for part in cls.get_attributes()]
    processor = AudioOnly.from_args_and_dict(parts, settings)
    processor.chat_template = processor.chat_template or settings.get("chat_template")  # some classes drop it
    return processor


def _part(name: str, source: Path) -> Any:
    if _is_vision(name):
        return None
    auto = AutoTokenizer if name == "tokenizer" else AutoFeatureExtractor
    return auto.from_pretrained(source, trust_remote_code=False)
