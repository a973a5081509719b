"""Checkpoints: a killed run resumes from one, with the numbers of an uninterrupted run."""

import logging
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from nersweep.faults import one_line
from nersweep.machine import files
from nersweep.model.dropout import Masks
from nersweep.model.tagger import Predictions, Tagger
from nersweep.training.history import History
from nersweep.training.observers import Observer
from nersweep.training.optimiser import AdamW, trained_state

log = logging.getLogger(__name__)


class Checkpoint:
    """One safetensors file with all that the next step depends on, and the history so far.

    That is the optimiser's weights and moving averages, buffers of the model, observers and random
    state. The order of the data is a function of seed and epoch. A file is read only if it is
    whole, which a checksum tells, and of the run with this fingerprint.

    minutes: the least time between two checkpoints within an epoch; None for none. started: when
    this process began to work on the run (perf_counter); the file keeps the seconds of all
    processes.
    """

    def __init__(self, path: Path, fingerprint: str, minutes: float | None, started: float):
        self.path, self.fingerprint = path, fingerprint
        self.minutes, self.started = minutes, started
        self.saved = time.monotonic()
        self.before = 0.0  # seconds of earlier processes
        self.own = False  # whether this process wrote the file

    def seconds(self) -> float:
        """Return the seconds of work on the run, by all processes up to their last checkpoint."""
        return self.before + time.perf_counter() - self.started

    def due(self) -> bool:
        """Return whether it is time for a checkpoint within the epoch."""
        return self.minutes is not None and time.monotonic() - self.saved >= 60 * self.minutes

    def save(
        self, tagger: Tagger, optimiser: AdamW, observers: Sequence[Observer], history: History
    ) -> None:
        """Write the state, replacing the previous one."""
        masks, device = tagger.encoder.masks, next(tagger.parameters()).device
        sections: dict[str, Mapping[str, Tensor]] = {
            "optimiser": optimiser.state(),
            "buffer": persistent_buffers(tagger),
            "observer": observed(observers),
            "random": random_state(masks, device),
            "best": history.weights,
            "dev": dev_arrays(history),
        }
        text = bytearray(history.dump().encode())
        tensors = {
            "history": torch.frombuffer(text, dtype=torch.uint8),
            "seconds": torch.tensor(self.seconds(), dtype=torch.float64),
        }
        for section, values in sections.items():
            for name, value in values.items():
                tensors[f"{section}/{name}"] = value.cpu().contiguous()
        # These stand in the header, which holds less than 100 MB.
        about = {"fingerprint": self.fingerprint, "checksum": checksum(tensors)}
        with files.in_place_of(self.path) as file:
            save_file(tensors, file, about)
        self.saved, self.own = time.monotonic(), True

    def restore(self, tagger: Tagger, optimiser: AdamW, observers: Sequence[Observer]) -> History:
        """Restore the saved state of all of them, and return the history up to there.

        If there is no file of this run that can be read, they stay as they are, and the history is
        empty.
        """
        masks, device = tagger.encoder.masks, next(tagger.parameters()).device
        try:
            tensors = self.read()
            if part(tensors, "random").keys() != random_state(masks, device).keys():
                raise ValueError("it is of another kind of device")
            dev = {name: value.numpy() for name, value in part(tensors, "dev").items()}
            history = History.load(
                tensors["history"].numpy().tobytes(),
                dev_predictions=Predictions(**dev) if dev else None,
                weights=part(tensors, "best"),
            )
        except FileNotFoundError:
            return History()
        except Exception as error:  # a damaged file leads to any
            log.warning("%s: cannot be read (%s); the run starts over", self.path, one_line(error))
            return History()
        optimiser.load(part(tensors, "optimiser"))
        # Buffers that are missing are made by the first step.
        result = tagger.load_state_dict(part(tensors, "buffer"), strict=False)
        assert not result.unexpected_keys, result.unexpected_keys
        for observer in observers:
            observer.load(part(tensors, "observer"))
        set_random_state(part(tensors, "random"), masks, device)
        if not self.own:
            self.before = tensors["seconds"].item()
        return history

    def read(self) -> dict[str, Tensor]:
        """Return what was saved. Raises ValueError for a file that is damaged or another run's.

        A damaged file may raise anything else as well.
        """
        tensors = {}
        with safe_open(self.path, "pt") as file:
            about = file.metadata() or {}
            for name in file.keys():  # noqa: SIM118  not a mapping
                tensors[name] = file.get_tensor(name)
        if about.get("checksum") != checksum(tensors):
            raise ValueError("it is damaged")
        if about.get("fingerprint") != self.fingerprint:
            raise ValueError("it is of another run")
        return tensors

    def remove(self) -> None:
        """Delete the file, if there is one."""
        self.path.unlink(missing_ok=True)


def part(tensors: Mapping[str, Tensor], section: str) -> dict[str, Tensor]:
    """Return the tensors of a section, by their names in it."""
    prefix = f"{section}/"
    return {name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """Return the CRC-32 of names, types, shapes and values: 270 MB in .12 s, SHA-256 takes .18."""
    crc = 0
    for name in sorted(tensors):
        x = tensors[name]
        crc = zlib.crc32(f"{name} {x.dtype} {list(x.shape)}\n".encode(), crc)
        crc = zlib.crc32(x.reshape(-1).view(torch.uint8).numpy().data, crc)
    return f"{crc:08x}"


def persistent_buffers(model: nn.Module) -> dict[str, Tensor]:
    """Return the state of a model without its parameters."""
    parameters = dict(model.named_parameters())
    buffers = {}
    for name, value in trained_state(model).items():
        if name not in parameters:
            buffers[name] = value.detach()
    return buffers


def observed(observers: Sequence[Observer]) -> dict[str, Tensor]:
    """Return the states of all observers."""
    state: dict[str, Tensor] = {}
    for observer in observers:
        state |= observer.state()
    return state


def dev_arrays(history: History) -> dict[str, Tensor]:
    """Return the predictions of the best epoch as tensors, by name; none before the first epoch."""
    arrays = {}
    if history.dev_predictions is not None:
        for name, array in history.dev_predictions._asdict().items():
            if array is not None:
                arrays[name] = torch.from_numpy(array)
    return arrays


def random_state(masks: Masks | None, device: torch.device) -> dict[str, Tensor]:
    """Return the states of all random generators that training draws from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    if masks:
        state["masks"] = masks.state()
    return state


def set_random_state(
    state: Mapping[str, Tensor], masks: Masks | None, device: torch.device
) -> None:
    """Continue all random generators from a state."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
    if masks:
        masks.load(state["masks"])
