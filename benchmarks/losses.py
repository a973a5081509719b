"""What a loss costs: each against a training step of MiniLM, and the CRF against pytorch-crf.

    python benchmarks/losses.py --rounds 7

On this machine's CPU, with random numbers: forward and backward of every loss of the package on
the logits of 32 sentences × 128 words × 9 labels, as a share of a training step of the packaged
MiniLM on 32 × 128 pieces (forward, backward, AdamW; in float32, and in bf16 autocast where the
processor has it); forward and backward of the CRF on 32 × 124 × 9, and its decoding. Each round
measures everything once, so that other load on the machine affects all alike. Prints Markdown:
medians over the rounds, and the range.
"""

import argparse
import inspect
import math
import statistics
import sys
import time
import warnings
from collections.abc import Callable

import torch
import torchcrf
from common import LABELS, MINILM, machine
from torch.nn import functional
from transformers import AutoModelForTokenClassification
from transformers.utils import logging

import nersweep.losses
from nersweep.losses import CRF
from nersweep.losses.base import Loss

SENTENCES, WORDS, CRF_WORDS, FEATURES = 32, 128, 124, 384
LIMIT = 0.03  # of a step, for a loss
GIVEN = {"logits", "targets", "step_targets", "features", "lengths"}


def drawn_targets(words: int) -> torch.Tensor:
    """Label ids (words,), 83% O as in CoNLL-2003."""
    return torch.where(torch.rand(words) < 0.83, 0, torch.randint(1, len(LABELS), (words,)))


def training_step(bf16: bool) -> Callable[[], None]:
    model = AutoModelForTokenClassification.from_pretrained(
        MINILM.location(), num_labels=len(LABELS), dtype=torch.float32
    ).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5)
    pieces = torch.randint(1000, model.config.vocab_size, (SENTENCES, WORDS))
    mask, targets = torch.ones_like(pieces), drawn_targets(pieces.numel())

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = model(input_ids=pieces, attention_mask=mask).logits
        functional.cross_entropy(logits.float().flatten(0, 1), targets).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def forward_and_backward(loss: Loss) -> Callable[[], None]:
    words = SENTENCES * WORDS
    targets = drawn_targets(words)
    tensors = {
        "logits": torch.randn(words, len(LABELS)).requires_grad_(),
        "features": torch.randn(words, FEATURES).requires_grad_(),
        "targets": targets,
        "step_targets": targets,
        "lengths": torch.full((SENTENCES,), WORDS),
    }
    given = {name: tensors[name] for name in loss.needs}

    def once() -> None:
        tensors["logits"].grad = tensors["features"].grad = None
        loss(**given).backward()

    return once


def measurable() -> tuple[dict[str, Loss], dict[str, str]]:
    """The losses of the package with their default settings; and why the others are left out."""
    facts = {
        "counts": drawn_targets(200_000).bincount(minlength=len(LABELS)),
        "labels": LABELS.names,
    }
    losses, left_out = {}, {}
    for name, class_ in sorted(vars(nersweep.losses).items()):
        if not inspect.isclass(class_) or not issubclass(class_, Loss) or class_.__name__ != name:
            continue
        if class_ is Loss or inspect.isabstract(class_):
            continue
        arguments = inspect.signature(class_).parameters.values()
        unknown = [a.name for a in arguments if a.default is a.empty and a.name not in facts]
        if unknown:
            left_out[name] = "needs " + ", ".join(unknown) + " to be made"
        elif not set(class_.needs) <= GIVEN:
            left_out[name] = "needs " + ", ".join(sorted(set(class_.needs) - GIVEN))
        else:
            losses[name] = class_(**{a.name: facts[a.name] for a in arguments if a.name in facts})
    return losses, left_out


class Fields:
    """The same random field twice, as ours and as pytorch-crf's."""

    def __init__(self):
        classes = len(LABELS)
        self.ours, self.theirs = CRF(classes), torchcrf.CRF(classes, batch_first=True)
        with torch.no_grad():
            for a, b in zip(self.ours.parameters(), self.of_theirs(), strict=True):
                a.copy_(torch.randn(a.shape))
                b.copy_(a)
        self.emissions = torch.randn(SENTENCES, CRF_WORDS, classes) * 3
        self.targets = drawn_targets(SENTENCES * CRF_WORDS).reshape(SENTENCES, CRF_WORDS)
        self.lengths = torch.full((SENTENCES,), CRF_WORDS)

    def of_theirs(self) -> tuple[torch.nn.Parameter, ...]:
        return self.theirs.start_transitions, self.theirs.transitions, self.theirs.end_transitions

    def value_and_gradient(self, ours: bool) -> tuple[torch.Tensor, torch.Tensor]:
        emissions = self.emissions.clone().requires_grad_()
        if ours:
            flat = emissions.flatten(0, 1), self.targets.flatten(), self.lengths
            value = self.ours.neg_log_likelihood(*flat).sum() / self.targets.numel()
        else:
            value = -self.theirs(emissions, self.targets, reduction="token_mean")
        value.backward()
        return value.detach(), emissions.grad

    def decode(self, ours: bool) -> None:
        if ours:
            self.ours.decode(self.emissions.flatten(0, 1), self.lengths)
        else:
            self.theirs.decode(self.emissions)

    def errors(self) -> tuple[float, float, float]:
        """Return relative errors: of both values, of our gradient against float64's, of theirs."""
        (value, gradient), (other, other_gradient) = (
            self.value_and_gradient(True),
            self.value_and_gradient(False),
        )
        self.theirs.double()
        self.emissions = self.emissions.double()
        exact = self.value_and_gradient(False)[1]
        self.theirs.float()
        self.emissions = self.emissions.float()
        far = [((g - exact).norm() / exact.norm()).item() for g in (gradient, other_gradient)]
        return abs(value - other).item() / other.item(), *far


def measure(
    work: dict[str, tuple[Callable[[], object], int]], rounds: int
) -> dict[str, list[float]]:
    """Seconds per call of each piece of work, once per round: the mean over its number of calls."""
    seconds = {name: [] for name in work}
    for call, _ in work.values():
        call()  # the first call allocates
    for number in range(1, rounds + 1):
        for name, (call, calls) in work.items():
            print(f"\rround {number} of {rounds}: {name:30}", end="", file=sys.stderr, flush=True)
            call()  # into the cache
            started = time.perf_counter()
            for _ in range(calls):
                call()
            seconds[name].append((time.perf_counter() - started) / calls)
    print(file=sys.stderr)
    return seconds


def milliseconds(values: list[float]) -> str:
    digits = 2 - min(2, max(0, int(math.log10(statistics.median(values) * 1e3))))
    middle, low, high = (
        f"{1e3 * v:.{digits}f}" for v in (statistics.median(values), min(values), max(values))
    )
    return f"{middle} ({low}–{high})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", module="torchcrf")  # its masks are bytes

    losses, left_out = measurable()
    fields = Fields()
    steps = ["fp32", "bf16"] if torch.ops.mkldnn._is_mkldnn_bf16_supported() else ["fp32"]
    work = {f"step {step}": (training_step(step == "bf16"), 1) for step in steps}
    work |= {name: (forward_and_backward(loss), 10) for name, loss in losses.items()}
    for what, call in (("CRF", fields.value_and_gradient), ("CRF decode", fields.decode)):
        work |= {
            f"{what}, {whose}": (lambda c=call, o=whose == "ours": c(o), 10)
            for whose in ("ours", "theirs")
        }
    seconds = measure(work, given.rounds)
    middle = {name: statistics.median(values) for name, values in seconds.items()}

    print(f"{machine(given.threads)}, {given.rounds} rounds: median (range)\n")
    print(f"| MiniLM, {SENTENCES} × {WORDS} pieces | ms per step |\n|---|---|")
    for step in steps:
        print(f"| {step} | {milliseconds(seconds[f'step {step}'])} |")
    print(
        f"\n| loss, {SENTENCES} × {WORDS} × {len(LABELS)} | ms | "
        + " | ".join(f"of a {s} step" for s in steps)
        + " |"
    )
    print("|---" * (2 + len(steps)) + "|")
    for name in sorted(losses, key=middle.get):
        shares = [middle[name] / middle[f"step {step}"] for step in steps]
        cells = " | ".join(
            f"{s:.2%}" + (" (above the limit)" if s >= LIMIT else "") for s in shares
        )
        print(f"| {name} | {milliseconds(seconds[name])} | {cells} |")
    print(
        "\nNot in this table: "
        + "; ".join(f"{name} {reason}" for name, reason in left_out.items())
        + "."
    )
    print(
        f"\n| CRF, {SENTENCES} × {CRF_WORDS} × {len(LABELS)} | ours, ms | pytorch-crf, ms | ratio |"
        "\n|---|---|---|---|"
    )
    for what, title in (("CRF", "forward and backward"), ("CRF decode", "decoding")):
        ours, theirs = seconds[f"{what}, ours"], seconds[f"{what}, theirs"]
        ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
        spread = f"{statistics.median(ratios):.1f} ({min(ratios):.1f}–{max(ratios):.1f})"
        print(f"| {title} | {milliseconds(ours)} | {milliseconds(theirs)} | {spread} |")
    apart, our_error, their_error = fields.errors()
    print(
        f"\nRelative difference of the values: {apart:.1e}. "
        "Gradient's relative error against float64: "
        f"ours {our_error:.1e}, pytorch-crf {their_error:.1e}."
    )


if __name__ == "__main__":
    main()
