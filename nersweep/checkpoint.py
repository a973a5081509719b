"""Where a training stands, on disk: a run that was killed goes on from there, to the numbers of an undisturbed one."""

import json
import time
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from nersweep import store
from nersweep.dropout import Masks
from nersweep.faults import one_line
from nersweep.fitted import Fitted, Predictions
from nersweep.optimiser import AdamW
from nersweep.progress import console

ARRAYS = {"weights", "dev_predictions"}  # of Fitted; the rest of it is JSON


class Checkpoint:
    """One safetensors file: weights and moving averages of the optimiser, buffers of the model, random state, and what
    training has left so far. The order of the data is a function of seed and epoch, so that the steps done fix it.

    The state is the same whole or not at all, and of no use to a run with another fingerprint. minutes: the least time
    between two checkpoints within an epoch; None for none.
    """

    def __init__(self, path: Path, fingerprint: str, minutes: float | None):
        self.path, self.fingerprint, self.minutes = path, fingerprint, minutes
        self.saved = time.monotonic()

    def due(self) -> bool:
        return self.minutes is not None and time.monotonic() - self.saved >= 60 * self.minutes

    def save(self, model: nn.Module, optimiser: AdamW, masks: Masks | None, fitted: Fitted) -> None:
        device = next(model.parameters()).device
        tensors = {f"optimiser/{name}": x for name, x in optimiser.state().items()}
        tensors |= {f"buffer/{name}": x for name, x in persistent_buffers(model).items()}
        tensors |= {f"random/{name}": x for name, x in random_state(masks, device).items()}
        tensors |= {f"best/{name}": x for name, x in fitted.weights.items()}
        if fitted.dev_predictions:
            found = fitted.dev_predictions._asdict().items()
            tensors |= {f"dev/{name}": torch.from_numpy(x) for name, x in found if x is not None}
        told = {name: value for name, value in vars(fitted).items() if name not in ARRAYS}
        tensors["fitted"] = torch.frombuffer(bytearray(json.dumps(told).encode()), dtype=torch.uint8)
        about = {"fingerprint": self.fingerprint}  # a header may not have more than 100 MB
        with store.in_place_of(self.path) as file:
            save_file({name: x.contiguous() for name, x in tensors.items()}, file, about)
        self.saved = time.monotonic()

    def restore(self, model: nn.Module, optimiser: AdamW, masks: Masks | None) -> Fitted:
        """Puts all of them into the state that was saved, and returns what training had left by then; where nothing of
        this run can be read, that is nothing and they stay as they are."""
        try:
            with safe_open(self.path, "pt") as file:
                about = file.metadata() or {}
                if about.get("fingerprint") != self.fingerprint:
                    return Fitted()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
        except FileNotFoundError:
            return Fitted()
        except (OSError, SafetensorError) as error:
            console.print(f"{self.path}: cannot be read ({one_line(error)}); starting anew")
            return Fitted()
        device = next(model.parameters()).device
        written = {name for name in tensors if name.startswith("random/")}
        if written != {f"random/{name}" for name in random_state(masks, device)}:
            console.print(f"{self.path}: of another kind of device; starting anew")
            return Fitted()

        def part(of: str) -> dict[str, Tensor]:
            return {name.removeprefix(of): x for name, x in tensors.items() if name.startswith(of)}

        optimiser.load(part("optimiser/"))
        unknown = model.load_state_dict(part("buffer/"), strict=False).unexpected_keys  # the first step may make some
        assert not unknown, unknown
        set_random_state(part("random/"), masks, device)
        dev = {name: x.numpy() for name, x in part("dev/").items()}
        fitted = Fitted(**json.loads(tensors["fitted"].numpy().tobytes()), weights=part("best/"))
        fitted.dev_predictions = Predictions(dev["labels"], dev.get("spans")) if dev else None
        return fitted

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def persistent_buffers(model: nn.Module) -> dict[str, Tensor]:
    parameters = dict(model.named_parameters())
    return {name: x.detach() for name, x in model.state_dict(keep_vars=True).items() if name not in parameters}


def random_state(masks: Masks | None, device: torch.device) -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state | ({"masks": masks.state()} if masks else {})


def set_random_state(state: dict[str, Tensor], masks: Masks | None, device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
    if masks:
        masks.load(state["masks"])
