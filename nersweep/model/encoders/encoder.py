"""The encoder: a transformers token-classification model that sees words."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from nersweep.batches.batch import Batch
from nersweep.config.schema import EngineConfig
from nersweep.machine.device import put
from nersweep.model.dropout import Masks, use_masks
from nersweep.model.grid import Grid, Shape, values_of
from nersweep.model.packing import ATTENTION, Layout, Windows
from nersweep.model.used_rows import UsedRows

UNLIMITED = 10**9  # pieces
TOLERANCE = 1e-4  # of packed features, relative to the largest
PROBED = (3, 40, 17, 150)  # pieces of windows; the longest exceeds ModernBERT's sliding windows
# Models that count positions from pad_token_id + 1.
OFFSET_FAMILIES = {"roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "longformer"}
# What models raise that cannot be packed: as many as there are models.
UNPACKABLE = (TypeError, ValueError, RuntimeError, AttributeError, LookupError)


class Encoder(nn.Module):
    """A transformers token-classification model that sees words.

    `features` gives one row per word, from the word's first piece, and `classify` applies to such
    rows what the model has above its body (dropout and a linear layer in BERT). The model is saved
    as it is, so that `transformers.pipeline` loads it.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        max_length: int | None = None,
    ):
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        limits = (position_limit(model.config), tokenizer.model_max_length, max_length or UNLIMITED)
        self.max_length = min(limits)
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
        if not self.packed and device.type == "cpu":
            self.model.set_attn_implementation("eager")  # sdpa's backward is slow on CPU
        # Not buffers: in bf16 rotary positions lose their place.
        for parameter in self.model.base_model.parameters():
            parameter.data = parameter.data.to(dtype)
        if engine.masks and (device.type, dtype) == ("cpu", torch.bfloat16):
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
            same = bool((features - expected).abs().max() <= TOLERANCE * expected.abs().max())
        except torch.OutOfMemoryError:
            raise
        except UNPACKABLE:
            pass
        finally:
            self.train(training)
            if not same:
                self.model.set_attn_implementation(before)
        return same

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
        """Return the last hidden state of each word's first piece, (words, hidden)."""
        device = self.model.device
        if batch.packed and self.grid:
            shape, values = self.grid_values(batch)
            return self.grid_features(Grid(shape, put(values, device)))[: len(batch.first)]
        batch = batch.to(device)
        if batch.packed:
            positions = batch.positions + first_position(self.model.config)
            hidden = self.states(batch.input_ids, positions, Layout(batch.sizes, device))
        else:
            hidden = self.model.base_model(
                input_ids=batch.input_ids, attention_mask=batch.attention_mask
            ).last_hidden_state
        return hidden.flatten(0, 1).index_select(0, batch.first)

    def grid_values(self, batch: Batch) -> tuple[Shape, Tensor]:
        """Return shape and values of a packed batch, on the host, for a `Grid`."""
        return values_of(batch, first_position(self.model.config))

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
        if type(table) is nn.Embedding and table.max_norm is None:
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
        """Write model and tokenizer to a folder, as transformers does."""
        self.restore_rows()
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def first_position(config: PretrainedConfig) -> int:
    """Return the position of a window's first piece."""
    return config.pad_token_id + 1 if config.model_type in OFFSET_FAMILIES else 0


def position_limit(config: PretrainedConfig) -> int:
    """Return how many pieces fit into a window, special ones included."""
    positions = getattr(config, "max_position_embeddings", None) or UNLIMITED
    return int(positions - first_position(config))


def label_names(outputs: Sequence[str]) -> dict[str, Any]:
    """Return the settings by which a transformers configuration names its outputs."""
    names = dict(enumerate(outputs))
    return {
        "num_labels": len(names),
        "id2label": names,
        "label2id": {name: i for i, name in names.items()},
    }
