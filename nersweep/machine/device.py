"""The device and the precision that a run computes with."""

import re
import time
from functools import lru_cache

import torch
from torch import Tensor

from nersweep.faults import Fault, UserError


def choose_device(name: str) -> torch.device:
    """Return a device: cpu, cuda or cuda:N; auto is CUDA where it is available, else the CPU.

    Raises UserError for a device that the machine lacks: there is no silent fall-back.
    """
    available = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if available else "cpu")
    kind, _, index = name.partition(":")
    if name != "cpu" and not re.fullmatch(r"cuda(:[0-9]+)?", name):
        raise UserError(Fault("device", name, "must be auto, cpu, cuda or cuda:N"))
    if kind == "cuda" and not available:
        remedy = "set device=auto or device=cpu"
        raise UserError(Fault("device", name, "this machine has no CUDA device", remedy))
    count = torch.cuda.device_count()
    if kind == "cuda" and index and int(index) >= count:
        raise UserError(Fault("device", name, f"there are {count} CUDA devices, counted from 0"))
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the type of fp32 or bf16; auto is bf16 where it is the faster of the two."""
    if name == "auto":
        name = "bf16" if bf16_is_faster(device) else "fp32"
    return torch.bfloat16 if name == "bf16" else torch.float32


def put(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device, without waiting for what the device is doing."""
    return pinned(tensor, device).to(device, non_blocking=True)


def pinned(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor in memory from which it can be put on a device without waiting."""
    return tensor.pin_memory() if device.type == "cuda" and tensor.device.type == "cpu" else tensor


@lru_cache
def bf16_is_faster(device: torch.device) -> bool:
    """Return whether a device multiplies matrices faster in bf16 than in float32.

    Takes the best of five products of the size of an encoder's feed-forward layer. A CPU with bf16
    units is several times faster, one without is slower, so noise does not decide.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        left = torch.ones(512, 384, dtype=dtype)
        right = torch.ones(384, 1536, dtype=dtype)
        times = []
        for _ in range(5):
            start = time.perf_counter()
            torch.mm(left, right)
            times.append(time.perf_counter() - start)
        seconds[dtype] = min(times)
    return seconds[torch.bfloat16] < seconds[torch.float32]
