"""Where and in which precision a run computes."""

import time
from functools import lru_cache

import torch
from torch import Tensor


def choose_device(name: str) -> torch.device:
    """auto is CUDA where there is one, else the CPU. Raises ValueError for a device that is not there: there is no
    silent fall-back."""
    available = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if available else "cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise ValueError(f"device={name}: must be auto, cpu, cuda or cuda:N")
    if kind == "cuda" and not available:
        raise ValueError(f"device={name}: no CUDA device was found; type device=auto or device=cpu")
    if kind == "cuda" and index and int(index) >= torch.cuda.device_count():
        raise ValueError(
            f"device={name}: there are {torch.cuda.device_count()} CUDA devices, counted from 0"
        )
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """fp32 and bf16 as asked; auto is bf16 where a matrix product is faster in it than in fp32."""
    if name == "auto":
        name = "bf16" if bf16_is_faster(device) else "fp32"
    return torch.bfloat16 if name == "bf16" else torch.float32


def put(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on this device, without a wait for what the device is doing."""
    return pinned(tensor, device).to(device, non_blocking=True)


def pinned(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor where it is, in memory from which it can be put on this device without a wait."""
    return tensor.pin_memory() if device.type == "cuda" and tensor.device.type == "cpu" else tensor


@lru_cache
def bf16_is_faster(device: torch.device) -> bool:
    """Best of five products of the size of an encoder's feed-forward layer, in each precision. On a CPU with bf16
    units it is several times faster, on one without slower, so noise does not decide."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        left, right = torch.ones(512, 384, dtype=dtype), torch.ones(384, 1536, dtype=dtype)
        times = []
        for _ in range(5):
            start = time.perf_counter()
            torch.mm(left, right)
            times.append(time.perf_counter() - start)
        seconds[dtype] = min(times)
    return seconds[torch.bfloat16] < seconds[torch.float32]
