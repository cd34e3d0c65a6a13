"""Device maps of models: whole on one device, over k GPUs, or with the rest offloaded.

The map is always explicit, because `device_map="auto"` only warns under a launcher's environment variables. The same
model, dtype and memory give the same map. Knows nothing of any model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import psutil
import torch
from accelerate import infer_auto_device_map
from accelerate.utils import compute_module_sizes, find_tied_parameters, get_balanced_memory
from torch import nn

from esn_dist.errors import UserError

GB = 10**9
ACTIVATION_MEMORY_FRACTION = 0.1  # share of a GPU's free memory that is left for activations and caches
DeviceMap = dict[str, int | str]


@dataclass(frozen=True, slots=True)
class Placement:
    """The devices that may hold the weights.

    Attributes:
        device: type of the devices that compute.
        gpus: GPUs that share one replica.
        offload: where weights go that do not fit on the devices; None: all must fit.
        memory: bytes of weights per device at most; default: the free memory.
    """

    device: Literal["cpu", "cuda"] = "cpu"
    gpus: int = 1
    offload: Literal["cpu", "disk"] | None = None
    memory: int | None = None

    def device_map(self, skeleton: Any, dtype: torch.dtype) -> DeviceMap:
        """The device of each module of a model that exists on the meta device only.

        Raises:
            UserError: it does not fit; says how much is needed and what to set.
        """
        # 1. Without offload the devices must hold all weights.
        free = self._free_memory()
        needed = int(compute_module_sizes(skeleton, dtype=dtype)[""])
        if not self.offload and needed > sum(free.values()):
            raise self._too_little(needed, sum(free.values()), dtype)
        # 2. One device holds the whole model; several get equal numbers of layers, where that fits.
        if len(free) == 1 and not self.offload:
            return {"": next(iter(free))}
        if not self.offload and (stages := _even_stages(skeleton, dtype, free)):
            return stages
        # 3. Else accelerate fills the devices in order, with the rest in the CPU's memory or on disk.
        unsplit = sorted(skeleton._no_split_modules or ())
        if self.gpus > 1 and not self.offload:
            free = get_balanced_memory(skeleton, dict(free), unsplit, dtype)
        if self.offload == "cpu" and self.device == "cuda":
            free["cpu"] = psutil.virtual_memory().available
        device_map: DeviceMap = infer_auto_device_map(skeleton, dict(free), unsplit, dtype)
        if "disk" in device_map.values() and self.offload != "disk":
            raise self._too_little(needed, sum(free.values()), dtype)
        return device_map

    def _free_memory(self) -> dict[int | str, int]:
        """Bytes for weights on each computing device."""
        if self.device == "cpu":
            return {"cpu": self.memory or psutil.virtual_memory().available}
        if self.memory:
            return dict.fromkeys(range(self.gpus), self.memory)
        if self.gpus > torch.cuda.device_count():
            raise UserError(
                f"{self.gpus} GPUs per replica are required and this process sees {torch.cuda.device_count()}",
                fix="set gpus to what one machine has, or device: cpu",
            )
        return {i: int(torch.cuda.mem_get_info(i)[0] * (1 - ACTIVATION_MEMORY_FRACTION)) for i in range(self.gpus)}

    def _too_little(self, needed: int, free: int, dtype: torch.dtype) -> UserError:
        settings = ["dtype: bfloat16"] if dtype == torch.float32 else []
        settings += [f"gpus: {self.gpus + 1} or more", "offload: cpu"] if self.device == "cuda" else []
        return UserError(
            f"the weights need {_size(needed)} in {str(dtype).removeprefix('torch.')} "
            f"and {self.device} has {_size(free)} for them",
            fix=f"set {', or '.join([*settings, 'offload: disk'])}",
        )


def _even_stages(skeleton: Any, dtype: torch.dtype, free: Mapping[int | str, int]) -> DeviceMap | None:
    """Pipeline stages: equal numbers of decoder layers per device, in order; None where that does not fit.

    Modules before the layers are with the first stage, modules after them with the last. A pipeline is as fast as its
    slowest stage, so layers are divided equally and not bytes. accelerate's balanced memory gives 20 and 8 of
    Qwen2.5-Omni-7B's 28 layers to two GPUs.
    """
    # 1. The decoder is the largest stack of layers.
    sizes = compute_module_sizes(skeleton, dtype=dtype)
    stacks = {name: module for name, module in skeleton.named_modules() if isinstance(module, nn.ModuleList)}
    decoder = max(stacks, key=lambda name: int(sizes[name]))
    layers, devices = len(stacks[decoder]), list(free)
    if layers < len(devices) or find_tied_parameters(skeleton):
        return None
    # 2. Layer i of n goes to device ⌊i · devices / n⌋; every other module goes where the layer before it went.
    device_map, device = DeviceMap(), devices[0]
    for name in _modules_to_place(skeleton, "", decoder):
        if name.startswith(f"{decoder}."):
            device = devices[int(name.removeprefix(f"{decoder}.")) * len(devices) // layers]
        device_map[name] = device
    # 3. Every stage must fit on its device.
    placed_bytes = {d: sum(int(sizes[name]) for name, placed in device_map.items() if placed == d) for d in devices}
    return device_map if all(placed_bytes[d] <= free[d] for d in devices) else None


def _modules_to_place(module: nn.Module, prefix: str, stack: str) -> Iterator[str]:
    """Names, in order, of the largest modules that contain at most one layer of `stack`, and of loose tensors."""
    tensors = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
    yield from (prefix + name for name, _ in tensors)
    for name, child in module.named_children():
        path = prefix + name
        if path == stack:
            yield from (f"{path}.{number}" for number, _ in child.named_children())
        elif stack.startswith(f"{path}."):
            yield from _modules_to_place(child, f"{path}.", stack)
        else:
            yield path


def _size(count: int) -> str:
    return f"{count / GB:.1f} GB" if count >= GB / 10 else f"{count * 1000 / GB:.1f} MB"
