"""The engine profile of a new store: all that may change an answer's bits, decided once from the model and the machine.

Knows nothing of the plan, and no cluster: it is given what is known of a GPU.
"""

from __future__ import annotations

from math import log2
from pathlib import Path
from typing import Literal

from esn_dist.models.resolve import GateShape
from esn_dist.sweep.spec import ModelSpec
from esn_dist.worker.job import EngineProfile
from esn_dist.worker.protocol import GpuInfo

CPU_BUDGET = 4_096  # tokens of a batch
# Tokens of a batch on a GPU. More gain nothing; GPUs that share a model's layers share them.
MIN_BUDGET, MAX_BUDGET = 2_048, 65_536
USABLE_MEMORY = 0.9  # share of a GPU's memory that weights and batches may fill


def new_profile(spec: ModelSpec, dtype: str, shape: GateShape, checkpoint: Path, gpu: GpuInfo | None) -> EngineProfile:
    """The profile of `spec`, whose gates have `shape`, on `gpu`, or on the CPU if that is None."""
    # Offloaded weights are placeholders: nothing can be folded into them, and the packed engine could not read them.
    scaling: Literal["fold", "gate"] = "gate" if spec.offload else "fold"
    engine: Literal["packed", "padded"] = "padded" if spec.offload else "packed"
    if gpu is None:
        return EngineProfile("cpu", dtype, scaling, CPU_BUDGET, engine=engine)
    weights = sum(path.stat().st_size for path in checkpoint.rglob("*.safetensors"))
    wide = dtype == "float32"  # published weights have 16 bits, and are widened when loaded
    resident = 0 if spec.offload else weights * (1 + wide) // spec.gpus
    budget = token_budget(gpu.memory_bytes, resident, shape, 4 if wide else 2, spec.gpus)
    return EngineProfile("cuda", dtype, scaling, budget, engine=engine, kernels=gpu.has_compiler, batch_encoding=True)


def token_budget(memory: int, weights: int, shape: GateShape, number: int, gpus: int = 1) -> int:
    """Tokens of a batch, a power of two: as many as fit into `memory` bytes next to `weights`, on each of `gpus`.

    A token needs, in numbers of `number` bytes, about four times a layer's width while a layer processes it (u, up, h
    and the residual stream). It also needs its keys and values. An eighth of each layer's width is more than enough
    for them if heads share keys and values (Qwen2.5-Omni's take 0.054). Three batches have keys and values at once if
    answers are long. With `gpus` that share the model, these are three batches for each GPU and one more, and each GPU
    holds its share of the layers.
    """
    width = shape.width // max(1, shape.experts)
    batches = 3 * gpus + (gpus > 1)
    token = number * (4 * width + batches * shape.layers * width // (8 * gpus))
    tokens = max(MIN_BUDGET, (USABLE_MEMORY * memory - weights) / token)
    return int(2 ** int(log2(min(MAX_BUDGET // gpus, tokens))))
