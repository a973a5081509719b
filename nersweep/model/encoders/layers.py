"""The layers of a model: which are frozen, and which see later pieces."""

import re
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from nersweep.faults import Fault, UserError
from nersweep.model.dropout import Masks
from nersweep.model.packing import Form, Layout

Attention = Literal["causal", "bidirectional"] | Sequence[int | str] | None
Layer = Sequence[nn.Module]  # most models have one module for each layer


def layers_of(model: PreTrainedModel) -> list[Layer]:
    """Return the layers, the lowest first; none if they cannot be told apart, as ALBERT's.

    They are the entries of each outermost list that has as many as the model has layers.
    """
    count = model.config.get_text_config().num_hidden_layers
    lists: list[nn.ModuleList] = []
    inner: set[nn.Module] = set()
    for module in model.base_model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count and module not in inner:
            lists.append(module)
            inner.update(module.modules())
    return list(zip(*lists, strict=True))


def require_layers(model: PreTrainedModel, setting: str, value: object) -> list[Layer]:
    """Return the layers. Raises UserError if they cannot be told apart."""
    layers = layers_of(model)
    if not layers:
        must = f"must be null: the layers of {model.config.model_type} cannot be told apart"
        raise UserError(Fault(setting, value, must))
    return layers


def chosen_layers(attention: Attention) -> list[int] | None:
    """Return the layers, counted from 0, that see ahead; None for all.

    A group is a layer, 3, or a range with both ends, "16-31". Raises UserError for another one.
    """
    if attention is None or attention == "causal":
        return []
    if attention == "bidirectional":
        return None
    chosen: set[int] = set()
    for group in attention:
        match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", str(group))
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            must = "must be causal, bidirectional, or a list of layers and ranges of layers"
            raise UserError(Fault("attention", attention, must, "set model.attention=[0-7,31]"))
        chosen.update(range(first, last + 1))
    return sorted(chosen)


def causal_modules(layer: Layer) -> list[nn.Module]:
    """Return the attention modules of a layer that see no later pieces."""
    modules = []
    for part in layer:
        modules += [module for module in part.modules() if getattr(module, "is_causal", None)]
    return modules


def layers_ahead(model: PreTrainedModel, attention: Attention) -> list[int]:
    """Return the layers that are to see ahead. Raises UserError for what the model cannot do."""
    if attention is None:
        return []
    layers = require_layers(model, "model.attention", attention)
    if not all(map(causal_modules, layers)):
        must = "must be null: this model is no decoder whose causal mask can be taken off"
        raise UserError(Fault("model.attention", attention, must))
    chosen = chosen_layers(attention)
    if chosen is None:
        return list(range(len(layers)))
    if chosen and chosen[-1] >= len(layers):
        must = f"must name layers from 0 to {len(layers) - 1}"
        raise UserError(Fault("model.attention", attention, must))
    return chosen


class Recorder(Layout):
    """Packed windows that record for each call of attention whether it was causal."""

    def __init__(self, sizes: np.ndarray, device: torch.device):
        super().__init__(sizes, device)
        self.causal: list[bool] = []

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, form: Form, masks: Masks | None
    ) -> Tensor:
        self.causal.append(form.causal)
        return super().attend(query, key, value, form, masks)


def freeze(model: PreTrainedModel, count: int, run: Callable[[], object]) -> None:
    """Freeze the embeddings and the `count` lowest layers.

    Embeddings are what runs before the lowest layer, and tables outside the layers. run: does a
    forward pass. Raises UserError if there are fewer layers.
    """
    layers = require_count(model, count)
    within: set[nn.Module] = set()
    for layer in layers:
        for part in layer:
            within.update(part.modules())
    calls: list[nn.Module] = []
    hooks = []
    for module in model.base_model.modules():
        hooks.append(module.register_forward_pre_hook(lambda module, _: calls.append(module)))
    run()
    for hook in hooks:
        hook.remove()
    frozen: list[nn.Parameter] = []
    for module in takewhile(lambda module: module not in within, calls):
        frozen += module.parameters(recurse=False)
    for module in model.base_model.modules():
        if isinstance(module, nn.Embedding) and module not in within:
            frozen += module.parameters()
    for layer in layers[:count]:
        for part in layer:
            frozen += part.parameters()
    for parameter in frozen:
        parameter.requires_grad_(False)


def require_count(model: PreTrainedModel, count: int) -> list[Layer]:
    """Return the layers. Raises UserError if there are fewer than `count` to freeze."""
    layers = require_layers(model, "model.freeze", count)
    if count > len(layers):
        must = f"must be ≤ {len(layers)}, the layers of this model"
        raise UserError(Fault("model.freeze", count, must))
    return layers
