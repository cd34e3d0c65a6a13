"""Discrete audio codes, 12.5 a second: GLM-4-Voice's speech tokenizer on transformers' Whisper layers, in float32.

Causal convolutions; attention that looks ahead only inside blocks of 4 s; mean over 4 positions; nearest code vector.
In bfloat16 the nearest code flips, so this module stays in float32. Knows no token ids.
Beyond the letters of `esn_dist.models`: Q pooled positions of a window, N = W·Q, Z codes of the codebook.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pad
from transformers.models.whisper.modeling_whisper import WhisperEncoderLayer

from esn_dist.models.kimi_audio.config import SpeechTokenizerConfig
from esn_dist.transfer import to_device_async


class SpeechTokenizer(nn.Module):
    """Mel frames in, codes out."""

    def __init__(self, config: SpeechTokenizerConfig) -> None:
        super().__init__()
        encoder, width = config.encoder, config.encoder.d_model
        encoder._attn_implementation = "sdpa"
        self.pool, self.block = config.pool, config.block
        self.conv1 = nn.Conv1d(encoder.num_mel_bins, width, kernel_size=3)
        self.conv2 = nn.Conv1d(width, width, kernel_size=3, stride=2)
        self.embed_positions = nn.Embedding(encoder.max_source_positions, width)
        self.layers = nn.ModuleList(WhisperEncoderLayer(encoder) for _ in range(config.layers))
        self.codebook = nn.Embedding(config.codes, width)

    def forward(self, mel_WMF: Tensor, valid_WF: Tensor) -> Tensor:
        """Codes [R] of the windows of one clip, in order, without those of padding.

        Args:
            mel_WMF: log-mel of W windows; F is a multiple of 2 × `pool`.
            valid_WF: 1 on frames of the clip, 0 on padding. Best on the CPU, where the kept codes are computed.
        """
        # 1. Convolutions: M × F → P = F / 2 positions of width E.
        hidden_WPE = self._convolve(mel_WMF)
        valid_WP = valid_WF[:, ::2].bool()
        # 2. Layers, under a mask that is causal between blocks.
        mask_W1PP = self._mask(to_device_async(valid_WP, mel_WMF.device))
        for layer in self.layers:
            hidden_WPE = layer(hidden_WPE, mask_W1PP)
        # 3. Mean over `pool` positions: Q = P / pool. Padding in a last group of positions counts in its mean.
        pooled_WQE = hidden_WPE.unflatten(1, (-1, self.pool)).mean(2)
        # 4. Nearest codes [W·Q], of which those of the clip stay.
        kept_R = valid_WP[:, :: self.pool].flatten().nonzero().flatten()
        return self._nearest(pooled_WQE).flatten()[to_device_async(kept_R, mel_WMF.device)]

    def _convolve(self, mel_WMF: Tensor) -> Tensor:
        """Two causal convolutions, with zeros before the first frame: [W, P, E]."""
        hidden_WEP = gelu(self.conv1(pad(mel_WMF, (2, 0))))
        hidden_WEP = gelu(self.conv2(pad(hidden_WEP, (2, 0))))
        return hidden_WEP.transpose(1, 2) + self.embed_positions.weight[: hidden_WEP.shape[2]]

    def _mask(self, valid_WP: Tensor) -> Tensor:
        """Additive mask [W, 1, P, P]: query i attends to a valid key j if j ≤ i or both are in one block."""
        index_P = torch.arange(valid_WP.shape[1], device=valid_WP.device)
        block_P = index_P // self.block
        attends_PP = (index_P <= index_P[:, None]) | (block_P == block_P[:, None])
        attends_W1PP = attends_PP & valid_WP[:, None, None]
        return torch.zeros(attends_W1PP.shape, device=valid_WP.device).masked_fill(
            ~attends_W1PP, torch.finfo(torch.float32).min
        )

    def _nearest(self, pooled_WQE: Tensor) -> Tensor:
        """Index [W, Q] of the code vector at the smallest squared distance, by the official order of operations."""
        pooled_NE, codebook_ZE = pooled_WQE.flatten(0, 1), self.codebook.weight
        squares_NZ = pooled_NE.square().sum(1, keepdim=True) + codebook_ZE.square().sum(1)
        return torch.addmm(squares_NZ, pooled_NE, codebook_ZE.T, alpha=-2.0).argmin(1).view(pooled_WQE.shape[:2])
