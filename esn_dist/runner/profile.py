"""The engine profile of a new store: all that may change an answer's bits, decided once from the model and the machine.

A GPU is asked through Ray, since the driver may run on a machine without one. Knows nothing of the plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2
from pathlib import Path
from typing import Any, Literal, cast

from esn_dist.models.resolve import GateShape
from esn_dist.sweep.spec import ModelSpec
from esn_dist.worker.job import EngineProfile

CPU_BUDGET = 4_096  # tokens of a batch
LEAST, MOST = 2_048, 65_536  # on a GPU; beyond, nothing is gained; shared by GPUs that hand batches on
FREE = 0.9  # share of a GPU's memory that weights and batches may fill


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU of the cluster.

    Attributes:
        memory: bytes.
        compiler: whether kernels can be built there.
    """

    memory: int
    compiler: bool


def new_profile(
    spec: ModelSpec, device: Literal["cpu", "cuda"], dtype: str, shape: GateShape, checkpoint: Path
) -> EngineProfile:
    """The profile of `spec`, whose gates have `shape`, on `device`."""
    # Offloaded weights are placeholders: nothing can be folded into them, and the packed engine could not read them.
    scaling: Literal["fold", "gate"] = "gate" if spec.offload else "fold"
    engine: Literal["packed", "padded"] = "padded" if spec.offload else "packed"
    if device == "cpu":
        return EngineProfile(device, dtype, scaling, CPU_BUDGET, engine=engine)
    gpu = look_at_gpu()
    weights = sum(path.stat().st_size for path in checkpoint.rglob("*.safetensors"))
    wide = dtype == "float32"  # published weights have 16 bits, and are widened when loaded
    resident = 0 if spec.offload else weights * (1 + wide) // spec.gpus
    budget = token_budget(gpu.memory, resident, shape, 4 if wide else 2, spec.gpus)
    return EngineProfile(device, dtype, scaling, budget, engine=engine, kernels=gpu.compiler, together=True)


def token_budget(memory: int, weights: int, shape: GateShape, number: int, gpus: int = 1) -> int:
    """Tokens of a batch, a power of two: as many as `memory` bytes hold beside `weights`, on each of `gpus`.

    A token needs, in numbers of `number` bytes, about four times a layer's width while it passes a layer (u, up, h and
    the stream), and its keys and values: an eighth of each layer's width holds them with room to spare where heads
    share keys and values (Qwen2.5-Omni's take 0.054). Three batches have them where answers are long; of `gpus` that
    share the model, three for each GPU and one more, each GPU holding its share of the layers.
    """
    width = shape.width // max(1, shape.experts)
    batches = 3 * gpus + (gpus > 1)
    token = number * (4 * width + batches * shape.layers * width // (8 * gpus))
    tokens = max(LEAST, (FREE * memory - weights) / token)
    return int(2 ** int(log2(min(MOST // gpus, tokens))))


def look_at_gpu() -> Gpu:
    """The GPU that Ray gives to whoever asks first."""
    import ray  # here, so that a store can be prepared where there is no Ray

    task = ray.remote(num_gpus=1, num_cpus=0, max_retries=1)(_here)
    return cast(Gpu, ray.get(cast(Any, task).remote()))


def _here() -> Gpu:
    import torch

    from esn_dist.inference.packed.steps import compiler_here

    return Gpu(torch.cuda.get_device_properties(0).total_memory, compiler_here())
