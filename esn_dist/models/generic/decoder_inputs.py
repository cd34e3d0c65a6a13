"""The embeddings that a model passes to its decoder: its forward call runs up to the decoder and stops there.

Works for any model of transformers, whatever its merging of audio and text looks like. Knows no processor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


class _DecoderReached(Exception):
    """Raised inside a forward call once the embeddings are complete."""

    def __init__(self, embeds_BLD: Tensor) -> None:
        super().__init__()
        self.embeds_BLD = embeds_BLD


def decoder_inputs(model: Any, decoder: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    """Embeddings [1, L, D] of one clip and prompt, as `model` merges them.

    Args:
        model: called as `model(**inputs)`.
        decoder: the text model inside it.
        inputs: the processor's tensors, on the model's device.
    """
    # 1. Some models call the decoder with the merged embeddings.
    before_decoder = decoder.register_forward_pre_hook(_stop_at_embeds, with_kwargs=True)
    # 2. Others give ids to the decoder, or call its layers themselves: there the first layer gets the embeddings.
    before_layer = decoder.layers[0].register_forward_pre_hook(_stop_at_hidden_states, with_kwargs=True)
    # 3. The call ends by an exception, before any layer of the decoder has run.
    try:
        model(**inputs, use_cache=False)
    except _DecoderReached as reached:
        return reached.embeds_BLD
    finally:
        before_decoder.remove()
        before_layer.remove()
    raise RuntimeError(f"{type(model).__name__} never called its decoder")


def _stop_at_embeds(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
    if kwargs.get("inputs_embeds") is not None:
        raise _DecoderReached(kwargs["inputs_embeds"])


def _stop_at_hidden_states(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
    raise _DecoderReached(args[0] if args else kwargs["hidden_states"])
