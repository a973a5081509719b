"""What a model does with positions and with later pieces, found by running it on a few pieces."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from nersweep.faults import Fault, UserError, one_line

UNLIMITED = 10**9  # pieces
SHORTEST = 8  # pieces of a window
LENGTHS = SHORTEST, 64  # pieces of a probe: some models take no fewer than a block
CHANGED = 1e-6  # of features, relative to the largest; what is not seen changes none
# What models raise that do not take what they are given: as many as there are models.
UNSUITED = (
    TypeError,
    ValueError,
    RuntimeError,
    AttributeError,
    LookupError,
    AssertionError,
    ArithmeticError,
    NotImplementedError,
)


class Behaviour(NamedTuple):
    """How a model counts and what it sees.

    causal: no piece sees a later one. first_position: the position to give to a window's first
    piece. limit: the most pieces of a window.
    """

    causal: bool
    first_position: int
    limit: int


class Lookups(TorchFunctionMode):
    """Records lookups in tables whose indices count up along a row of so many pieces."""

    def __init__(self, length: int):
        super().__init__()
        self.length = length
        self.tables: list[tuple[int, int]] = []  # the rows of a table, the first index

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is functional.embedding:
            indices, table = (*args, *(kwargs or {}).values())[:2]
            row = indices.reshape(-1, indices.shape[-1])[0, : self.length]
            # A table of distances has a row for each piece, one of positions for each window.
            rows = indices.numel() // indices.shape[-1]
            if rows <= 2 and len(row) == self.length and bool((row.diff() == 1).all()):
                self.tables.append((len(table), int(row[0])))
        return func(*args, **(kwargs or {}))


@torch.inference_mode()
def behaviour(model: PreTrainedModel, pad: int) -> Behaviour:
    """Return how a model behaves. pad: the padding piece.

    Raises UserError for a model that does not run on pieces alone.
    """
    training = model.training
    model.eval()
    failure: Exception | None = None
    try:
        for length in LENGTHS:
            try:
                return observe(model, pad, length)
            except torch.OutOfMemoryError:
                raise
            except UNSUITED as error:
                failure = failure or error
    finally:
        model.train(training)
    assert failure is not None
    must = f"this model does not run on pieces and an attention mask ({one_line(failure)})"
    raise UserError(Fault("model.name", must=must)) from failure


def observe(model: PreTrainedModel, pad: int, length: int) -> Behaviour:
    """Return how a model behaves with two windows of which only the last pieces differ."""
    paddings = pad, model.config.pad_token_id
    one, other = [piece for piece in range(5) if piece not in paddings][-2:]
    ids = torch.full((2, length), one, device=model.device)
    ids[1, -1] = other
    lookups = Lookups(length)
    states: list[Tensor] = []
    with lookups:
        for row in ids[:1], ids[1:]:  # two passes of one shape: what is not seen changes no bit
            mask = torch.ones_like(row)
            states.append(model.base_model(input_ids=row, attention_mask=mask).last_hidden_state)
    moved = (states[0] - states[1]).abs().amax(-1)[0, : length - 1]
    causal = bool((moved <= CHANGED * states[0].abs().max()).all())
    limits, first = [], 0
    for rows, index in lookups.tables:
        limits.append(rows - index)
    if lookups.tables:
        first = lookups.tables[0][1] - given_position(model, ids[:1], length)
    return Behaviour(causal, first, min(limits, default=configured_limit(model)))


def given_position(model: PreTrainedModel, ids: Tensor, length: int) -> int:
    """Return where a model looks position 0 up; 0 if it takes no positions."""
    positions, lookups = torch.arange(length, device=ids.device)[None], Lookups(length)
    try:
        with lookups:
            model.base_model(input_ids=ids, position_ids=positions)
    except UNSUITED:
        return 0
    return lookups.tables[0][1] if lookups.tables else 0


def configured_limit(model: PreTrainedModel) -> int:
    """Return the limit of a model without a table of positions."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else UNLIMITED
