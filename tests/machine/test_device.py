"""A training step never waits for a GPU, neither to read numbers nor to copy what it needs.

This needs no GPU. On the device "meta" tensors have shapes and no numbers, and code takes the same
branches as on a GPU: the calls to torch show what would wait for numbers.
"""

import traceback
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from nersweep.batches.windows import tokenise
from nersweep.config import schema as sections
from nersweep.config.check import check
from nersweep.machine.device import pinned, put
from nersweep.model import tagger as tagger_module
from nersweep.model.auxiliary import Multitask
from nersweep.run import plan
from nersweep.training import loop, observers, optimiser

CHECKOUT = Path(__file__).parents[2]
LOSSES = sorted(file.stem for file in (CHECKOUT / "conf" / "loss").glob("*.yaml"))
PACKAGE = str(CHECKOUT / "nersweep")
CPU, META = torch.device("cpu"), torch.device("meta")
SMALL = [
    "data.train=20", "data.dev=5", "data.test=5", "model.hidden=16", "model.layers=1",
    "model.dropout=0.1",
    "train.batch_size=10", "train.precision=fp32",
]  # fmt: skip
SOME = 2  # how many elements a mask is said to choose

# Where a step does wait for a GPU.
EXCEPTIONS = {
    # Only the numbers show that a probability became too small, so that logarithms are needed:
    # taking them always would make every step pay for a rare case.
    "crf": {"crf.py forward: _local_scalar_dense"},
    # The anchors are chosen by label. With every token as an anchor there would be no wait, but
    # memory would grow to tokens × tokens.
    "contrastive": {
        "contrastive.py forward: mask",
        "contrastive.py supcon: bincount",
        "contrastive.py supcon: nonzero",
        "loop.py fit: mask",  # its gradient
    },
}


class Waits(TorchDispatchMode):
    """Records each operation that would wait for a GPU, with the caller, and answers it."""

    def __init__(self):
        super().__init__()
        self.found: set[str] = set()

    def note(self, operation: str) -> None:
        ours = [frame for frame in traceback.extract_stack() if frame.filename.startswith(PACKAGE)]
        self.found.add(f"{Path(ours[-1].filename).name} {ours[-1].name}: {operation}")

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, function._schema.name.removeprefix("aten::")
        first = args[0] if args and isinstance(args[0], torch.Tensor) else None
        on_gpu = first is not None and first.device == META
        if (
            name == "_to_copy"
            and not on_gpu
            and kwargs.get("device") == META
            and not kwargs.get("non_blocking")
        ):
            self.note("copy")
        if not on_gpu:
            return function(*args, **kwargs)
        if (
            name == "copy_"
            and args[1].device == CPU
            and not (args[2:] or kwargs.get("non_blocking"))
        ):
            self.note("copy")
        elif name == "repeat_interleave" and kwargs.get("output_size") is None:
            self.note(name)
            return first.new_empty(SOME)
        elif name == "_local_scalar_dense":
            self.note(name)
            return 1
        elif name == "nonzero":
            self.note(name)
            return first.new_empty(SOME, first.dim(), dtype=torch.long)
        elif name == "bincount":
            self.note(name)
            return first.new_empty(SOME, dtype=torch.long)
        elif name in ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index_put"):
            if any(index is not None and index.dtype == torch.bool for index in args[1]):
                self.note("mask")
                args = (
                    first,
                    [chosen for index in args[1] for chosen in as_places(index)],
                    *args[2:],
                )
            elif any(index is not None and index.device == CPU for index in args[1]):
                self.note("copy")
        return function(*args, **kwargs)


class Copies(TorchFunctionMode):
    """Records where Python numbers are copied to a GPU, above torch's dispatcher."""

    def __init__(self, waits: Waits):
        super().__init__()
        self.waits = waits

    def __torch_function__(self, function, types, args=(), kwargs=None):
        tensor = function(*args, **(kwargs or {}))
        from_numbers = (
            function in (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor)
            and tensor.device == META
        )
        by_list = function in (torch.Tensor.__getitem__, torch.Tensor.__setitem__) and isinstance(
            args[1], list
        )
        if (from_numbers and not isinstance(args[-1], torch.Tensor)) or (
            by_list and args[0].device == META
        ):
            self.waits.note("copy")
        return tensor


def as_places(index):
    """A mask as the indices that torch makes of it; other indices as they are."""
    if index is None or index.dtype != torch.bool:
        return [index]
    return [index.new_empty(SOME, dtype=torch.long) for _ in range(index.dim())]


class EndOfEpoch(Exception):
    pass


def waits_of_an_epoch(
    monkeypatch, *overrides: str, aux: Multitask | None = None, grid: bool = True
) -> set[str]:
    """Where the optimiser steps of an epoch would wait for a GPU."""
    overrides = (*overrides, "train.engine.graphs=false")  # without a GPU there are none
    sections.register()
    with initialize_config_module("nersweep.conf", version_base="1.3"):
        config = compose("config", [*SMALL, *overrides], return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        choices = config.hydra.runtime.choices
        with open_dict(config):
            del config["hydra"]
        prepared = plan.make(check(config, choices))
    corpus, labels = prepared.facts.corpus, prepared.facts.labels
    corpus = replace(corpus, train=[replace(s, columns={"tag": s.tags}) for s in corpus.train])
    vocabularies = aux.vocabularies(corpus) if aux else {}
    encoder = prepared.encoder.build(prepared.head.target.outputs(labels), corpus)
    heads = aux.build(encoder.model.config.hidden_size, vocabularies) if aux else None
    split = tokenise(corpus.train, labels, encoder.tokenizer, encoder.max_length, vocabularies)
    encoder.use_rows(split.pieces)
    assert encoder.on(CPU).packed
    encoder.grid = grid
    tagger = tagger_module.Tagger(
        encoder, prepared.head.make(encoder=encoder, labels=labels), prepared.loss, heads
    ).to(META)

    def read(losses):
        assert len(losses.unread) == 2
        raise EndOfEpoch

    monkeypatch.setattr(observers.LossReader, "read", read)
    # Torch's kernel for AdamW and its autocast know no meta.
    monkeypatch.setattr(optimiser, "adamw", lambda *_: None)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    with pytest.raises(EndOfEpoch), Waits() as waits, Copies(waits):
        loop.fit(tagger, split, split, labels, prepared.train, 1, META, lambda _: None)
    return waits.found


@pytest.mark.parametrize("loss", LOSSES)
def test_no_step_waits_for_a_gpu(loss, monkeypatch):
    assert waits_of_an_epoch(monkeypatch, f"loss={loss}") == EXCEPTIONS.get(loss, set())


def test_nor_in_groups_by_length(monkeypatch):
    assert waits_of_an_epoch(monkeypatch, grid=False) == set()


@pytest.mark.parametrize(
    "overrides",
    [
        "head=span loss=focal weights=inverse",
        "head=span loss=dice",
        "head=token head.decode=viterbi",
        "loss=dice dice_exclude=[O]",
        "loss=compound compound_weights.boundary=1 train.accumulation=3",
    ],
)
def test_nor_with_other_heads_and_settings(overrides, monkeypatch):
    assert waits_of_an_epoch(monkeypatch, *overrides.split()) == set()


def test_nor_with_auxiliary_tasks(monkeypatch):
    aux = Multitask(["tag"], "uncertainty")
    assert waits_of_an_epoch(monkeypatch, "train.accumulation=2", aux=aux) == set()


class HostTensor:
    """Stands for a tensor on the host where there is no GPU: what is asked of it, in order."""

    device = CPU

    def __init__(self):
        self.calls = []

    def pin_memory(self):
        self.calls.append("pinned")
        return self

    def to(self, device, non_blocking=False):
        self.calls.append((device.type, "without a wait" if non_blocking else "with a wait"))
        return self


def test_only_pinned_memory_is_put_on_a_gpu_and_without_a_wait():
    put(moved := HostTensor(), torch.device("cuda", 0))
    assert moved.calls == ["pinned", ("cuda", "without a wait")]
    pinned(kept := HostTensor(), torch.device("cuda", 0))
    assert kept.calls == ["pinned"]


def test_without_a_gpu_nothing_is_copied():
    tensor = torch.arange(3)
    assert put(tensor, CPU) is tensor and pinned(tensor, CPU) is tensor
