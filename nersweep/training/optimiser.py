"""AdamW over float32 master weights, whatever the model computes with; clips in the same pass."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

import torch
from torch import Tensor, nn

from nersweep.training.flat import Flat

BETAS, EPS = (0.9, 0.999), 1e-8  # as in torch
STATE = ("master", "first", "second")  # of a slot
CHUNK = 1 << 17  # elements at a time on CPU: what a chunk needs stays in a core's cache


class ParameterGroup(TypedDict):
    """Parameters with one learning rate and one weight decay, as torch's optimisers take them."""

    params: list[nn.Parameter]
    lr: float
    weight_decay: float


class Slot:
    """A parameter with what the optimiser keeps of it in float32.

    That is the master weights (the parameter itself if it is float32) and the moving averages of
    its gradient and of the gradient's square. chunk: elements that are updated at a time.
    """

    def __init__(self, parameter: nn.Parameter, lr: float, weight_decay: float, chunk: int):
        self.parameter, self.lr, self.weight_decay, self.chunk = parameter, lr, weight_decay, chunk
        self.master = parameter.detach().float()
        self.first, self.second = torch.zeros_like(self.master), torch.zeros_like(self.master)
        tensors = (parameter.detach(), self.master, self.first, self.second)
        self.chunks = list(zip(*(x.view(-1).split(chunk) for x in tensors), strict=True))
        self.steps = 0
        # The gradient of a table of which few rows have one: dense, in float32, and those rows.
        self.dense: Tensor | None = None
        self.rows: Tensor | None = None

    def gradient(self) -> Tensor:
        """Return the gradient, dense; a sparse one in float32."""
        gradient = self.parameter.grad
        assert gradient is not None
        if not gradient.is_sparse:
            return gradient
        assert self.dense is not None
        return self.dense

    def norm(self) -> Tensor:
        """Return the norm of the gradient in float32; in bf16 it is good to 1/256."""
        gradient = self.parameter.grad
        assert gradient is not None
        if gradient.device.type == "cuda":
            exact: Tensor = torch.linalg.vector_norm(gradient, dtype=torch.float32)
            return exact
        if not gradient.is_sparse:
            norm: Tensor = torch.linalg.vector_norm(gradient)
            return norm.float()
        if self.dense is None:
            self.dense = torch.zeros_like(self.master)
        indices = gradient._indices()[0]
        self.rows = indices.unique()
        self.dense.index_add_(0, indices, gradient._values().float())
        norm = torch.linalg.vector_norm(self.dense[self.rows])
        return norm

    def update(self, factor: float, divisor: Tensor) -> None:
        """Step with lr·factor and the gradient, which `norm` has seen, divided by a scalar.

        The gradient is gone afterwards.
        """
        self.steps += 1
        step = torch.full_like(divisor, float(self.steps))
        lr = self.lr * factor
        gradients = self.gradient().reshape(-1).split(self.chunk)
        for tensors, gradient in zip(self.chunks, gradients, strict=True):
            weights, master, first, second = tensors
            adamw(master, gradient.float(), first, second, step, lr, self.weight_decay, divisor)
            if weights.dtype != torch.float32:
                weights.copy_(master)
        if self.rows is not None and self.dense is not None:
            self.dense[self.rows] = 0.0
        self.parameter.grad = None


class AdamW:
    """AdamW (Loshchilov and Hutter 2019), gradients clipped to a norm, betas .9 and .999, eps 1e-8.

    A parameter in bf16 has a float32 master copy, which is updated and then rounded to it.
    chunked: on CPU, update so many elements at a time as stay in the cache, not whole parameters.
    flats: parameters that are updated as one; all of a flat are in one group.
    """

    def __init__(
        self, groups: Sequence[ParameterGroup], chunked: bool = True, flats: Sequence[Flat] = ()
    ):
        self.slots: list[Slot] = []
        self.flats = flats
        for group in groups:
            for parameter in joined(group["params"], flats):
                in_chunks = chunked and parameter.device.type == "cpu"
                chunk = CHUNK if in_chunks else parameter.numel()
                self.slots.append(Slot(parameter, group["lr"], group["weight_decay"], chunk))

    @torch.no_grad()
    def step(self, factor: float, max_norm: float) -> Tensor:
        """Update once, with lr times this factor, the parameters that have a gradient.

        Returns the gradient's norm before clipping; in bf16 it is good to 1/256.
        """
        slots = [slot for slot in self.slots if slot.parameter.grad is not None]
        norms = torch.stack([slot.norm() for slot in slots])
        norm: Tensor = torch.linalg.vector_norm(norms)
        divisor = (norm / max_norm).clamp(min=1.0)
        for slot in slots:
            slot.update(factor, divisor)
        return norm

    def state(self) -> dict[str, Tensor]:
        """Return all that the next step depends on, but for the gradients; not copied."""
        state = {}
        for i, slot in enumerate(self.slots):
            for name in STATE:
                state[f"{i}.{name}"] = getattr(slot, name)
            state[f"{i}.steps"] = torch.tensor(slot.steps)
        return state

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a state."""
        for i, slot in enumerate(self.slots):
            for name in STATE:
                getattr(slot, name).copy_(state[f"{i}.{name}"])
            slot.steps = int(state[f"{i}.steps"])
            slot.parameter.copy_(slot.master)

    def weights_of(self, model: nn.Module) -> dict[str, Tensor]:
        """Return a copy of the model's trained state, with the parameters in float32."""
        masters = {slot.parameter: slot.master for slot in self.slots}
        for flat in self.flats:
            views = flat.views(masters[flat.whole])
            masters.update(zip(flat.parameters, views, strict=True))
        weights = {}
        for name, value in trained_state(model).items():
            master = masters.get(value, value) if isinstance(value, nn.Parameter) else value
            weights[name] = master.detach().clone()
        return weights


def trained_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the state of a model but for frozen parameters, which stay as they were loaded."""
    frozen = {name for name, x in model.named_parameters() if not x.requires_grad}
    own = {name for name, _ in (*model.named_parameters(), *model.named_buffers())} - frozen
    state: dict[str, Tensor] = {}
    for name, value in model.state_dict(keep_vars=True).items():
        if name in own:  # quantised weights have more to say
            state[name] = value
    return state


def load_trained(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load what `weights_of` has returned."""
    expected = trained_state(model)
    assert state.keys() == expected.keys(), state.keys() ^ expected.keys()
    model.load_state_dict(state, strict=False)


def joined(parameters: Sequence[nn.Parameter], flats: Sequence[Flat]) -> list[nn.Parameter]:
    """Return parameters with each flat in place of those that lie in it."""
    whole_of = {parameter: flat.whole for flat in flats for parameter in flat.parameters}
    return list(dict.fromkeys(whole_of.get(parameter, parameter) for parameter in parameters))


def adamw(
    weights: Tensor,
    gradient: Tensor,
    first: Tensor,
    second: Tensor,
    step: Tensor,
    lr: float,
    decay: float,
    divisor: Tensor | None,
) -> None:
    """Update by the kernel below `torch.optim.AdamW(fused=True)`, which takes whole parameters.

    In chunks the update of MiniLM takes 32 ms on one core, else 48 (benchmarks/engine.py).
    """
    torch._fused_adamw_(
        [weights], [gradient], [first], [second], [], [step],
        lr=lr, beta1=BETAS[0], beta2=BETAS[1], weight_decay=decay, eps=EPS,
        amsgrad=False, maximize=False, grad_scale=divisor, found_inf=None,
    )  # fmt: skip
