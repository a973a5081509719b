"""AdamW over float32 master weights, whatever the weights that the model computes with; clipping in the same pass."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

BETAS, EPS = (0.9, 0.999), 1e-8  # as in torch
STATE = ("master", "first", "second")  # of a slot
CHUNK = 1 << 17  # elements at a time on CPU: what a chunk needs stays in a core's cache


class Slot:
    """A parameter with what the optimiser keeps of it in float32: the master weights, which are the parameter itself
    where that is float32, and the moving averages of its gradient and of the gradient's square."""

    def __init__(self, parameter: nn.Parameter, lr: float, weight_decay: float):
        self.parameter, self.lr, self.weight_decay = parameter, lr, weight_decay
        self.master = parameter.detach().float()
        self.first, self.second = (torch.zeros_like(self.master) for _ in BETAS)
        self.size = CHUNK if parameter.device.type == "cpu" else parameter.numel()
        kept = parameter.detach(), self.master, self.first, self.second
        self.chunks = list(zip(*(x.view(-1).split(self.size) for x in kept), strict=True))

        self.steps = 0
        self.rows: Tensor | None = (
            None  # the gradient of a table of which few rows have one, in float32
        )
        self.touched: Tensor | None = None

    def norm(self) -> Tensor:
        """Of the gradient, in float32; of one in bf16 good to 1/256."""
        gradient = self.parameter.grad
        if not gradient.is_sparse:
            return torch.linalg.vector_norm(gradient).float()
        if self.rows is None:
            self.rows = torch.zeros_like(self.master)
        self.touched = gradient._indices()[0].unique()
        self.rows.index_add_(0, gradient._indices()[0], gradient._values().float())
        return self.rows[self.touched].norm()

    def update(self, factor: float, over: Tensor) -> None:
        """One step of AdamW with lr·factor and the gradient divided by `over`; the gradient is gone after it."""
        self.steps += 1
        step = torch.full_like(over, float(self.steps))
        gradient = self.rows if self.parameter.grad.is_sparse else self.parameter.grad
        for (low, master, first, second), part in zip(
            self.chunks, gradient.reshape(-1).split(self.size), strict=True
        ):
            adamw(
                master, part.float(), first, second, step, self.lr * factor, self.weight_decay, over
            )
            if low.dtype != torch.float32:
                low.copy_(master)
        if self.parameter.grad.is_sparse:
            self.rows[self.touched] = 0.0
        self.parameter.grad = None


class AdamW:
    """AdamW (Loshchilov and Hutter 2019) with gradients clipped to a norm, betas .9 and .999, eps 1e-8.

    groups: as for torch's optimisers, each with params, lr and weight_decay. A parameter in bf16 has a float32 master
    copy, which is updated, and then rounded to it.
    """

    def __init__(self, groups: Sequence[dict[str, Any]]):
        self.slots = [
            Slot(p, group["lr"], group["weight_decay"]) for group in groups for p in group["params"]
        ]

    @torch.no_grad()
    def step(self, factor: float, max_norm: float) -> Tensor:
        """One update with the gradients that are there, and lr times this factor. Returns the gradient's norm before
        clipping; in bf16 it is good to 1/256."""
        slots = [slot for slot in self.slots if slot.parameter.grad is not None]
        norm = torch.stack([slot.norm() for slot in slots]).norm()
        over = (norm / max_norm).clamp(min=1.0)
        for slot in slots:
            slot.update(factor, over)
        return norm

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on, but for the gradients; not copied."""
        state = {}
        for i, slot in enumerate(self.slots):
            state |= {f"{i}.{name}": getattr(slot, name) for name in STATE}
            state[f"{i}.steps"] = torch.tensor(slot.steps)
        return state

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        for i, slot in enumerate(self.slots):
            for name in STATE:
                getattr(slot, name).copy_(state[f"{i}.{name}"])
            slot.steps = int(state[f"{i}.steps"])
            slot.parameter.copy_(slot.master)

    def weights_of(self, model: nn.Module) -> dict[str, Tensor]:
        """A copy of the model's state, with the parameters in float32."""
        masters = {slot.parameter: slot.master for slot in self.slots}
        state = model.state_dict(keep_vars=True)
        return {name: masters.get(value, value).detach().clone() for name, value in state.items()}


def adamw(
    weights: Tensor,
    gradient: Tensor,
    first: Tensor,
    second: Tensor,
    step: Tensor,
    lr: float,
    decay: float,
    over: Tensor,
) -> None:
    """torch's fused kernel, by the operator below `torch.optim.AdamW(fused=True)`, which itself takes whole parameters:
    in chunks the update of MiniLM takes 32 ms on one core, else 48."""
    torch._fused_adamw_(
        [weights], [gradient], [first], [second], [], [step],
        lr=lr, beta1=BETAS[0], beta2=BETAS[1], weight_decay=decay, eps=EPS,
        amsgrad=False, maximize=False, grad_scale=over, found_inf=None,
    )  # fmt: skip


def plain_adamw(
    weights: Tensor,
    gradient: Tensor,
    first: Tensor,
    second: Tensor,
    step: Tensor,
    lr: float,
    decay: float,
    over: Tensor,
) -> None:
    """The same in public operations."""
    gradient = gradient / over
    weights.mul_(1 - lr * decay)
    first.lerp_(gradient, 1 - BETAS[0])
    second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
    taken = float(step)
    root = (second / (1 - BETAS[1] ** taken)).sqrt_().add_(EPS)
    weights.addcdiv_(first, root, value=-lr / (1 - BETAS[0] ** taken))


if not hasattr(torch, "_fused_adamw_"):
    adamw = plain_adamw
