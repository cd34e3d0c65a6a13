"""Discrete audio codes, 12.5 a second: GLM-4-Voice's speech tokenizer on transformers' Whisper layers, in float32.

Causal convolutions, attention that looks ahead only inside blocks of 4 s, mean over 4 frames, nearest codebook row.
In bfloat16 the nearest row flips, so it stays in float32 whatever the model's dtype. Knows nothing of token ids.
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

    def forward(self, mel_SMF: Tensor, valid_SF: Tensor) -> Tensor:
        """Codes [R] of one utterance's segments, in order, padding left out.

        Args:
            mel_SMF: log-mel of S segments; F is a multiple of 2 × `pool`.
            valid_SF: 1 on frames of the clip, 0 on padding. Best on the CPU: which codes are kept is asked there.
        """
        hidden_STD = self._frames(mel_SMF)
        valid_ST = valid_SF[:, ::2].bool()
        kept_R = valid_ST[:, :: self.pool].flatten().nonzero().flatten()
        attend_S1TT = self._visible(to_device_async(valid_ST, mel_SMF.device))
        for layer in self.layers:
            hidden_STD = layer(hidden_STD, attend_S1TT)
        pooled_SQD = hidden_STD.unflatten(1, (-1, self.pool)).mean(2)  # padding in a last window counts in its mean
        return self._nearest(pooled_SQD).flatten()[to_device_async(kept_R, mel_SMF.device)]

    def _frames(self, mel_SMF: Tensor) -> Tensor:
        """Two convolutions that see no future; zeros stand before the first frame."""
        hidden_SDT = gelu(self.conv1(pad(mel_SMF, (2, 0))))
        hidden_SDT = gelu(self.conv2(pad(hidden_SDT, (2, 0))))
        return hidden_SDT.transpose(1, 2) + self.embed_positions.weight[: hidden_SDT.shape[2]]

    def _visible(self, valid_ST: Tensor) -> Tensor:
        """Additive mask [S, 1, T, T]: query i sees a valid key j where j ≤ i or both lie in one block."""
        at_T = torch.arange(valid_ST.shape[1], device=valid_ST.device)
        block_T = at_T // self.block
        seen_TT = (at_T <= at_T[:, None]) | (block_T == block_T[:, None])
        seen_S1TT = seen_TT & valid_ST[:, None, None]
        return torch.zeros(seen_S1TT.shape, device=valid_ST.device).masked_fill(
            ~seen_S1TT, torch.finfo(torch.float32).min
        )

    def _nearest(self, rows_SQD: Tensor) -> Tensor:
        """Index [S, Q] of the codebook row at the smallest squared distance, by the official order of operations."""
        rows_ND, codebook_CD = rows_SQD.flatten(0, 1), self.codebook.weight
        squares_NC = rows_ND.square().sum(1, keepdim=True) + codebook_CD.square().sum(1)
        return torch.addmm(squares_NC, rows_ND, codebook_CD.T, alpha=-2.0).argmin(1).view(rows_SQD.shape[:2])
