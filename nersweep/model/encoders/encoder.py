"""The encoder: a transformers token-classification model that sees words."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from nersweep.batches.batch import Batch
from nersweep.batches.windows import Reading
from nersweep.config.schema import EngineConfig
from nersweep.faults import Fault, UserError
from nersweep.machine.device import put
from nersweep.model.dropout import Masks, use_masks
from nersweep.model.encoders import adapters, layers
from nersweep.model.encoders.adapters import Adapter
from nersweep.model.encoders.probe import SHORTEST, UNLIMITED, UNSUITED, behaviour
from nersweep.model.grid import Grid, Shape, values_of
from nersweep.model.packing import ATTENTION, Layout, Windows
from nersweep.model.used_rows import UsedRows

TOLERANCE = 1e-4  # of packed features, relative to the largest, in float32
COARSE = 0.1  # of their norm, in bf16, whose rounding adds up over layers
PROBED = (3, 40, 17, 150)  # pieces of windows; the longest exceeds ModernBERT's sliding windows


class Encoder(nn.Module):
    """A transformers token-classification model that sees words.

    `features` gives one row per word, from its first piece with content, or in a decoder from its
    last piece. `classify` applies to such rows what the model has above its body (dropout and a
    linear layer in BERT). The model is saved as it is, so that `transformers.pipeline` loads it.

    Raises UserError for a model that does not run on pieces alone, or takes too few of them.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int | None = None,
    ):
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.behaviour = behaviour(model, tokenizer.pad_token_id)
        limits = self.behaviour.limit, tokenizer.model_max_length, max_length or UNLIMITED
        self.max_length = int(min(limits))
        if self.max_length < SHORTEST:
            must = f"takes {self.max_length} pieces; must take at least {SHORTEST}"
            raise UserError(Fault("model.name", model.config.model_type, must))
        self.ahead: list[int] = []  # layers of a decoder that see later pieces
        self.adapter: Adapter | None = None
        self.recomputes = False  # activations, for the backward pass
        self.packed = False
        self.grid = False  # packed as a grid of static shape
        self.masks: Masks | None = None  # of dropout, where torch's are slow

    def on(
        self,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        engine: EngineConfig | None = None,
    ) -> "Encoder":
        """Move to a device, the body in this dtype and the classifier in float32; return self.

        Batches are packed if that gives what padded ones give.
        """
        engine = engine or EngineConfig()
        self.to(device)
        self.grid = engine.sdpa and device.type == "cuda"
        self.packed = engine.packing and self.packs()
        if self.ahead:
            self.look_ahead()
        if not self.packed and device.type == "cpu":
            self.model.set_attn_implementation("eager")  # sdpa's backward is slow on CPU
        # Not buffers: in bf16 rotary positions lose their place.
        for parameter in self.model.base_model.parameters():
            if parameter.is_floating_point():  # not quantised
                parameter.data = parameter.data.to(dtype)
        for module in self.classifier():
            module.float()
        in_bf16_on_cpu = (device.type, dtype) == ("cpu", torch.bfloat16)
        if engine.masks and in_bf16_on_cpu and not self.recomputes:  # which would draw others
            self.masks = Masks(torch.initial_seed() % 2**63)
            use_masks(self.model.base_model, self.masks)
        return self

    def packs(self) -> bool:
        """Return whether packed windows have the features of padded ones; if so, use packing.

        Not every model gives its attention away, and not every attention has a form that `packing`
        knows.
        """
        before, training = self.model.config._attn_implementation, self.training
        padded, packed = self.probes()
        same = False
        self.eval()
        try:
            expected = self.features_by("eager", padded)
            features = self.features_by(ATTENTION, packed)
            same = alike(features, expected)
        except torch.OutOfMemoryError:
            raise
        except UNSUITED:
            pass
        finally:
            self.train(training)
            if not same:
                self.model.set_attn_implementation(before)
        return same

    def look_ahead(self) -> None:
        """Take the causal mask off the layers in `ahead`.

        Only packed windows do without masks of transformers' own. Raises UserError for a model
        that is not packed, or whose attention does not heed it.
        """
        every = layers.layers_of(self.model)
        causal = [True] * len(every)
        for layer in self.ahead:
            causal[layer] = False
            for module in layers.causal_modules(every[layer]):
                setattr(module, "is_causal", False)  # noqa: B010  no parameter, as mypy has it
        if not self.packed or self.causal_calls() != causal:
            must = f"cannot be done with {self.model.config.model_type}, which cannot be packed"
            raise UserError(Fault("model.attention", self.ahead, must, "set model.attention=null"))

    @torch.inference_mode()
    def causal_calls(self) -> list[bool]:
        """Return for each call of attention in a forward pass whether it is causal."""
        _, packed = self.probes()
        packed = packed.to(self.model.device)
        recorder = layers.Recorder(packed.sizes, self.model.device)
        self.states(packed.input_ids, packed.positions + self.behaviour.first_position, recorder)
        return recorder.causal

    @property
    def reading(self) -> Reading:
        """Where words are read: a decoder has seen all of a word at its last piece."""
        causal = self.behaviour.causal
        return Reading(last=causal, ahead=not causal or bool(self.ahead))

    def run_probe(self) -> None:
        """Run the body on some windows."""
        padded, _ = self.probes()
        self.features_by(self.model.config._attn_implementation, padded)

    def recompute(self) -> None:
        """Compute activations within a layer again for the backward pass, instead of keeping them.

        Raises UserError for a model that cannot.
        """
        if not self.model.supports_gradient_checkpointing:
            must = f"must be false: transformers cannot do it with {self.model.config.model_type}"
            raise UserError(Fault("model.recompute", True, must))
        newer = getattr(self.model, "activation_checkpointing_enable", None)
        enable = newer or self.model.gradient_checkpointing_enable  # its name before 5.2x
        enable({"use_reentrant": False})
        self.recomputes = True

    def widen(self) -> None:
        """Give what `save` writes its float32 values: without the base of an adapter."""
        for parameter in self.parameters():
            if parameter.requires_grad or self.adapter is None or self.adapter.lora.merge:
                parameter.data = parameter.data.float()

    @property
    def quantised(self) -> bool:
        """Whether weights of the body are in fewer bits than torch computes with."""
        return not all(x.is_floating_point() for x in self.model.base_model.parameters())

    @torch.inference_mode()
    def features_by(self, attention: str, batch: Batch) -> Tensor:
        """Return the features of a batch with this attention, which stays."""
        self.model.set_attn_implementation(attention)
        return self.features(batch)

    def probes(self) -> tuple[Batch, Batch]:
        """Return some windows of arbitrary pieces, padded and packed."""
        table, pad = self.input_table(), self.tokenizer.pad_token_id
        if isinstance(table, UsedRows):
            pieces = table.used
        else:
            pieces = torch.arange(self.model.config.vocab_size)
        pieces = pieces[pieces != pad]
        sizes = np.minimum(PROBED, self.max_length)
        windows = []
        for i, size in enumerate(sizes):
            windows.append(pieces[torch.arange(i, i + size) * 7919 % len(pieces)])
        total = int(sizes.sum())
        rows = nn.utils.rnn.pad_sequence(windows, batch_first=True, padding_value=pad)
        first = torch.from_numpy(np.flatnonzero(np.arange(sizes.max()) < sizes[:, None]))
        return (
            Batch(rows, first, sizes, total, packed=False),
            Batch(torch.cat(windows)[None], torch.arange(total), sizes, total, packed=True),
        )

    def features(self, batch: Batch) -> Tensor:
        """Return the last hidden state of the piece that each word is read at, (words, hidden)."""
        device = self.model.device
        if batch.packed and self.grid:
            shape, values = self.grid_values(batch)
            return self.grid_features(Grid(shape, put(values, device)))[: len(batch.places)]
        batch = batch.to(device)
        if batch.packed:
            positions = batch.positions + self.behaviour.first_position
            hidden = self.states(batch.input_ids, positions, Layout(batch.sizes, device))
        else:
            hidden = self.model.base_model(
                input_ids=batch.input_ids, attention_mask=batch.attention_mask
            ).last_hidden_state
        return hidden.flatten(0, 1).index_select(0, batch.places)

    def grid_values(self, batch: Batch) -> tuple[Shape, Tensor]:
        """Return shape and values of a packed batch, on the host, for a `Grid`."""
        return values_of(batch, self.behaviour.first_position)

    def grid_features(self, grid: Grid) -> Tensor:
        """Return the features of a grid, as `Grid.features` describes them."""
        return grid.features(self.states(grid.input_ids, grid.positions, grid))

    def states(self, input_ids: Tensor, positions: Tensor, layout: Windows) -> Tensor:
        """Return the last hidden states of packed windows, (1, T, hidden)."""
        output = self.model.base_model(
            input_ids=input_ids, position_ids=positions, layout=layout, masks=self.masks
        )
        states: Tensor = output.last_hidden_state
        return states

    def use_rows(self, pieces: np.ndarray) -> None:
        """Train only these pieces' rows of the embedding table; `save` makes it whole again.

        A table that does more than look up, such as Gemma's, which scales, is trained whole.
        """
        table = self.input_table()
        if type(table) is nn.Embedding and table.max_norm is None and table.weight.requires_grad:
            self.model.set_input_embeddings(UsedRows(table, pieces))

    def restore_rows(self) -> None:
        """Make the embedding table whole again."""
        if isinstance(table := self.input_table(), UsedRows):
            self.model.set_input_embeddings(table.restored())

    def input_table(self) -> nn.Module | None:
        """Return the embedding table; None in a model without exactly one, such as CANINE."""
        try:
            table: nn.Module = self.model.get_input_embeddings()
        except (NotImplementedError, AttributeError):
            return None
        return table

    def classifier(self) -> list[nn.Module]:
        """Return the model's modules outside its body, in their order."""
        return [module for module in self.model.children() if module is not self.model.base_model]

    def renew_classifier(self) -> None:
        """Draw the last layer again: a checkpoint may have as many labels with other meanings."""
        last = [module for module in self.classifier() if isinstance(module, nn.Linear)][-1]
        nn.init.normal_(last.weight, std=getattr(self.model.config, "initializer_range", 0.02))
        if last.bias is not None:
            nn.init.zeros_(last.bias)

    def classify(self, features: Tensor) -> Tensor:
        """Return the scores (words, labels) of features (words, hidden)."""
        for module in self.classifier():
            features = module(features)
        return features

    def save(self, folder: Path) -> None:
        """Write model and tokenizer to a folder, as transformers does; an adapter as peft does.

        With lora.merge the adapter becomes a part of the model.
        """
        self.restore_rows()
        if self.adapter is not None and self.adapter.lora.merge:
            adapters.merge(self.model)
            self.adapter = None
        if self.adapter is None:
            self.model.save_pretrained(folder)
        else:
            adapters.save(folder, self.model, self.adapter)
        self.tokenizer.save_pretrained(folder)


def alike(features: Tensor, expected: Tensor) -> bool:
    """Return whether features differ by no more than rounding."""
    difference = features.float() - expected.float()
    if expected.dtype == torch.float32:
        return bool(difference.abs().max() <= TOLERANCE * expected.abs().max())
    return bool(difference.norm() <= COARSE * expected.float().norm())


def label_names(outputs: Sequence[str]) -> dict[str, Any]:
    """Return the settings by which a transformers configuration names its outputs."""
    names = dict(enumerate(outputs))
    return {
        "num_labels": len(names),
        "id2label": names,
        "label2id": {name: i for i, name in names.items()},
    }
