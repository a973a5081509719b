"""The hardware and the versions that a run uses."""

import hashlib
import platform
import resource
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

from nersweep.machine import host
from nersweep.version import __version__

PACKAGES = ("torch", "transformers", "tokenizers", "hydra-core", "mlflow", "numpy")


def peak_memory(device: torch.device) -> int:
    """Return bytes: of the device's allocator on CUDA, else the process's largest resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def hardware(device: torch.device) -> str:
    """Return the maker's name of the GPU, or of the CPU with its number of cores."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{host.cores()} cores of {host.cpu_name()}"


@cache
def versions() -> dict[str, str]:
    """Return the versions of nersweep, Python and the packages that compute.

    code: the first eight digits of the SHA-256 of nersweep's own source, which changes between
    releases too.
    """
    source = hashlib.sha256()
    for file in sorted(Path(__file__).parents[1].rglob("*.py")):
        source.update(file.read_bytes())
    numbers = {
        "nersweep": __version__,
        "code": source.hexdigest()[:8],
        "python": platform.python_version(),
    }
    for package in PACKAGES:
        numbers[package] = version(package)
    return numbers
