"""Parameters that lie in one piece of memory: the optimiser updates them as one."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

ALIGN = 128  # elements: kernels for matrices like addresses that are multiples of 256 bytes


class Flat:
    """Parameters of one type and device, one after another, and their gradients likewise.

    Gaps between them are 0 and stay so, as do their gradients.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]):
        self.shapes = [parameter.shape for parameter in parameters]
        self.room = [-(-shape.numel() // ALIGN) * ALIGN for shape in self.shapes]
        first = parameters[0]
        self.whole = nn.Parameter(first.new_zeros(sum(self.room)))
        self.gradient = torch.zeros_like(self.whole)
        self.gradients = self.views(self.gradient)
        self.adopt(parameters)

    def views(self, buffer: Tensor) -> list[Tensor]:
        """Return what a buffer like `whole` has for each parameter."""
        views = []
        for part, shape in zip(buffer.detach().split(self.room), self.shapes, strict=True):
            views.append(part[: shape.numel()].view(shape))
        return views

    @torch.no_grad()
    def adopt(self, parameters: Sequence[nn.Parameter]) -> None:
        """Take the values of parameters with these shapes, and store them in this buffer."""
        self.parameters = list(parameters)
        for parameter, view in zip(parameters, self.views(self.whole), strict=True):
            view.copy_(parameter)
            parameter.data = view

    @torch.no_grad()
    def release(self) -> None:
        """Give the parameters their own storage again."""
        for parameter in self.parameters:
            parameter.data = parameter.data.clone()
        self.parameters = []

    def zero(self) -> None:
        """Set the gradients to 0."""
        self.gradient.zero_()
        self.whole.grad = self.gradient

    @torch.no_grad()
    def add(self, gradients: tuple[Tensor, ...]) -> None:
        """Add to the gradients; those of one type are added by one kernel."""
        torch._foreach_add_(self.gradients, gradients)
