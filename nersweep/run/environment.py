"""The hardware and the versions that a run is made with."""

import hashlib
import platform
import resource
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

import nersweep
from nersweep.machine import host


def peak_memory(device: torch.device) -> int:
    """Bytes: of the device's allocator on CUDA, else the process's largest resident set so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def hardware(device: torch.device) -> str:
    """What computes, by its maker's name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{host.cores()} cores of {host.cpu_name()}"


@cache
def versions() -> dict[str, str]:
    """code: the first eight digits of the SHA-256 of nersweep's own source, which changes between releases too."""
    packages = ("torch", "transformers", "tokenizers", "hydra-core", "mlflow", "seqeval", "numpy")
    files = sorted(Path(nersweep.__file__).parent.rglob("*.py"))
    code = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]
    own = {"nersweep": nersweep.__version__, "code": code, "python": platform.python_version()}
    return own | {package: version(package) for package in packages}
