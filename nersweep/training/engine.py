"""The encoder's part of a training step: within autograd, or apart from it on static memory.

Apart, on CUDA, the forward and the backward pass of each shape of a batch become two CUDA graphs.
Head, auxiliary heads and loss run between them as usual.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nersweep.batches.batch import Batch
from nersweep.config.schema import EngineConfig
from nersweep.faults import Fault, UserError, one_line
from nersweep.machine.device import pinned
from nersweep.model.encoders.encoder import Encoder
from nersweep.model.grid import Grid, Shape
from nersweep.training.flat import Flat

MOST_GRAPHS = 64  # shapes that are recorded; others run without a graph
LABELS = ("id2label", "label2id", "num_labels", "_name_or_path")  # do not matter to the body


class Engine:
    """Runs the encoder within autograd: the loss's backward pass reaches its parameters."""

    flats: Sequence[Flat] = ()

    def __init__(self, encoder: Encoder):
        self.encoder = encoder

    def features(self, inputs: Sequence[Batch]) -> Tensor:
        """Return the features (W, hidden) of all words of these batches, in float32."""
        return torch.cat([self.encoder.features(batch) for batch in inputs]).float()

    def backward(self) -> None:
        """Back-propagate the gradient of the last features into the encoder's parameters."""

    def release(self) -> None:
        """Give the encoder's parameters their own storage again."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Without memory there is none for copies; the next try has another encoder.
        if kind is None or not issubclass(kind, torch.OutOfMemoryError):
            self.release()


class Body(Engine):
    """Runs the encoder's body apart from autograd's graph of the loss, and keeps its gradients.

    With graphs, a shape runs as it is at first and as two CUDA graphs from its second batch on; the
    numbers are the same. All memory that graphs know is kept for the next run of a like encoder in
    this process.
    """

    def __init__(self, encoder: Encoder, graphs: bool):
        self.graphs, self.identity = graphs and not encoder.recomputes, identity_of(encoder)
        # Recorded graphs know where frozen parameters are, and another encoder has its own.
        self.kept = self.graphs and all(x.requires_grad for x in body_of(encoder).parameters())
        self.pool: Any = None  # memory that graphs share
        self.stream: torch.cuda.Stream | None = None  # on which they are recorded
        self.shapes: set[Shape] = set()  # of batches so far
        self.passes: dict[Shape, Pass] = {}  # recorded
        self.running: list[tuple[Pass, int]] = []  # of the last features, with their words
        used, named = used_parameters(encoder), dict(body_of(encoder).named_parameters())
        self.names, self.flats = [], []
        for matrices in (True, False):
            names = [name for name in used if (named[name].dim() > 1) == matrices]
            if names:
                self.names.append(names)
                self.flats.append(Flat([named[name] for name in names]))
        self.buffers = [buffer.clone() for buffer in body_of(encoder).buffers()]
        self.adopt(encoder)

    def adopt(self, encoder: Encoder) -> None:
        """Run this encoder from now on, with its values."""
        self.encoder = encoder
        named = dict(body_of(encoder).named_parameters())
        for names, flat in zip(self.names, self.flats, strict=True):
            flat.adopt([named[name] for name in names])
            flat.whole.grad = None
        self.parameters = [parameter for flat in self.flats for parameter in flat.parameters]
        for own, buffer in zip(self.buffers, body_of(encoder).buffers(), strict=True):
            own.copy_(buffer)
            buffer.data = own

    def release(self) -> None:
        """Give the encoder's parameters their own storage again, and wait for the next run."""
        for flat in self.flats:
            flat.release()
        for buffer in body_of(self.encoder).buffers():
            buffer.data = buffer.data.clone()
        del self.encoder, self.parameters
        if self.kept:
            KEPT[self.identity] = self
        else:
            self.passes, self.running = {}, []  # which hold this body, and so their own memory

    def features(self, inputs: Sequence[Batch]) -> Tensor:
        self.running, parts = [], []
        for batch in inputs:
            shape, values = self.encoder.grid_values(batch)
            one, words = self.pass_of(shape, alone=len(inputs) == 1), len(batch.places)
            one.values.copy_(pinned(values, one.values.device), non_blocking=True)
            one.forward()
            self.running.append((one, words))
            parts.append(one.output[:words].detach())
        self.leaf = torch.cat(parts).requires_grad_()
        return self.leaf

    def pass_of(self, shape: Shape, alone: bool) -> "Pass":
        """Return what runs a batch of this shape; alone: if no other waits for its gradient."""
        if not (self.graphs and alone):
            return Pass(self, shape)
        if shape in self.passes:
            return self.passes[shape]
        one = Pass(self, shape)
        if shape in self.shapes and len(self.passes) < MOST_GRAPHS:
            one.record()
            self.passes[shape] = one
        self.shapes.add(shape)
        return one

    def recorded(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record work for the device, without doing it. Returns what does it.

        Its memory is shared with other recordings: a forward pass is followed by its backward pass.
        """
        if self.stream is None:
            self.pool = torch.cuda.graph_pool_handle()
            self.stream = torch.cuda.Stream(self.encoder.model.device)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
            work()
        return graph.replay

    def backward(self) -> None:
        assert self.leaf.grad is not None
        for flat in self.flats:
            if flat.whole.grad is None:
                flat.zero()
        gradients = self.leaf.grad.split([words for _, words in self.running])
        for (one, words), gradient in zip(self.running, gradients, strict=True):
            one.gradient[:words].copy_(gradient)
            one.gradient[words:].zero_()
            one.backward()


KEPT: dict[str, Body] = {}  # at most one, between two runs


def engine_for(encoder: Encoder, config: EngineConfig) -> Engine:
    """Return what runs this encoder; on CUDA, the one of an earlier run if it is alike."""
    if not (encoder.grid and encoder.packed and config.flat_adamw) or encoder.quantised:
        return Engine(encoder)
    body = KEPT.pop(identity_of(encoder), None)
    KEPT.clear()
    if body is None or body.graphs != config.graphs:
        body = Body(encoder, config.graphs)
        return body if body.flats else Engine(encoder)  # without flats there is nothing to train
    body.adopt(encoder)
    return body


class Pass:
    """A forward and a backward pass of the body, for batches of one shape."""

    def __init__(self, body: Body, shape: Shape):
        self.body, self.shape = body, shape
        model = body.encoder.model
        size, hidden = sum(shape.parts()), model.config.hidden_size
        self.values = torch.empty(size, dtype=torch.int32, device=model.device)
        # Rows beyond the words have a gradient of 0.
        self.gradient = torch.zeros(shape.pieces + 1, hidden, device=model.device)
        self.forward: Callable[[], None] = self.run_forward
        self.backward: Callable[[], None] = self.run_backward

    def run_forward(self) -> None:
        grid = Grid(self.shape, self.values)
        self.output = self.body.encoder.grid_features(grid).float()  # (T + 1, hidden)

    def run_backward(self) -> None:
        gradients = torch.autograd.grad(self.output, self.body.parameters, self.gradient)
        self.output = self.output.detach()
        for flat in self.body.flats:
            count = len(flat.gradients)
            flat.add(gradients[:count])
            gradients = gradients[count:]

    def record(self) -> None:
        """Record both passes as CUDA graphs, which run from now on."""
        try:
            self.forward = self.body.recorded(self.run_forward)
            self.backward = self.body.recorded(self.run_backward)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            must = f"this encoder does not run as a CUDA graph ({one_line(error)})"
            remedy = "set train.engine.graphs=false"
            raise UserError(Fault("train.engine.graphs", True, must, remedy)) from error


def body_of(encoder: Encoder) -> nn.Module:
    """Return the model without its classifier."""
    body: nn.Module = encoder.model.base_model
    return body


def identity_of(encoder: Encoder) -> str:
    """Return what fixes the work of the body but for the values of parameters and buffers."""
    config = encoder.model.config.to_dict()
    for name in LABELS:
        config.pop(name, None)
    rows = getattr(encoder.input_table(), "padding_row", None)
    memory = []
    for name, value in body_of(encoder).state_dict(keep_vars=True).items():
        memory.append((name, value.shape, value.dtype, value.requires_grad))
    rules = encoder.ahead, encoder.recomputes  # which neither modules nor config show
    return repr((body_of(encoder), config, rows, memory, rules, encoder.model.device))


def used_parameters(encoder: Encoder) -> list[str]:
    """Return the names of the body's parameters to train that features depend on: no pooler."""
    training, (_, packed) = encoder.training, encoder.probes()
    named = {name: x for name, x in body_of(encoder).named_parameters() if x.requires_grad}
    encoder.eval()  # draws nothing
    features = encoder.features(packed)
    encoder.train(training)
    if not features.requires_grad:
        return []
    gradients = torch.autograd.grad(features.sum(), list(named.values()), allow_unused=True)
    return [name for name, x in zip(named, gradients, strict=True) if x is not None]
