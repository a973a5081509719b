"""Encoders: pretrained ones from the hub or a folder, and a small one built from a config and trained from scratch.

Both give a transformers token-classification model with its tokenizer, wrapped as an `Encoder`.
"""

import hashlib
import importlib.util
from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForTokenClassification,
    AutoTokenizer,
    BertConfig,
    BertForTokenClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import cached_file

from nersweep.batches.batch import Batch
from nersweep.data import hub
from nersweep.data.corpus import Corpus
from nersweep.faults import reason
from nersweep.model.dropout import Masks, use_masks
from nersweep.model.packing import ATTENTION, Layout
from nersweep.model.used_rows import UsedRows

# The files of a model's folder that decide what it computes.
IDENTITY = ("config.json", "*.safetensors", "*token*.json", "vocab.*", "merges.txt", "*.model")
SPECIALS = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}


class Encoder(nn.Module):
    """A transformers token-classification model that sees words: `features` gives one row per word, from the word's
    first piece, and `classify` applies to such rows what the model has above its body (dropout and a linear layer in
    BERT). The model is saved as it is, so that `transformers.pipeline` loads it."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        max_length: int | None = None,
    ):
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.max_length = min(
            position_limit(model.config), tokenizer.model_max_length, max_length or 10**9
        )
        self.packed = False
        self.masks: Masks | None = None  # of dropout, where torch's are slow

    def on(self, device: torch.device, dtype: torch.dtype = torch.float32) -> "Encoder":
        """On this device, its body in this dtype and the classifier in float32, with packed batches where they give
        what padded ones give. On CPU other attention is eager: sdpa's backward is slow there."""
        self.to(device)
        self.packed = self.packs()
        if not self.packed and device.type == "cpu":
            self.model.set_attn_implementation("eager")
        for parameter in (
            self.model.base_model.parameters()
        ):  # not buffers: in bf16 rotary positions lose their place
            parameter.data = parameter.data.to(dtype)
        if (device.type, dtype) == ("cpu", torch.bfloat16):
            self.masks = Masks(torch.initial_seed() % 2**63)
            use_masks(self.model.base_model, self.masks)
        return self

    @torch.inference_mode()
    def packs(self) -> bool:
        """Do packed windows have the features of padded ones? Not every model gives its attention away, and not every
        attention has a form that `packing` knows."""
        table = self.input_table()
        known = (
            table.used
            if isinstance(table, UsedRows)
            else torch.arange(self.model.config.vocab_size)
        )
        known = known[known != self.tokenizer.pad_token_id]
        sizes = np.minimum(
            [3, 40, 17, 150], self.max_length
        )  # the longest exceeds the sliding windows of ModernBERT
        windows = [
            known[torch.arange(i, i + size) * 7919 % len(known)] for i, size in enumerate(sizes)
        ]
        padded = nn.utils.rnn.pad_sequence(
            windows, batch_first=True, padding_value=self.tokenizer.pad_token_id
        )
        pieces, device, training = int(sizes.sum()), self.model.device, self.training
        places = np.flatnonzero(np.arange(sizes.max()) < sizes[:, None])
        batches = {
            "eager": Batch(padded, torch.from_numpy(places), sizes, pieces, packed=False),
            ATTENTION: Batch(
                torch.cat(windows)[None], torch.arange(pieces), sizes, pieces, packed=True
            ),
        }
        before, found, same = self.model.config._attn_implementation, [], False
        self.eval()
        try:
            for attention, batch in batches.items():
                self.model.set_attn_implementation(attention)
                found.append(self.features(batch.to(device)))
            same = bool((found[1] - found[0]).abs().max() <= 1e-4 * found[0].abs().max())
        except torch.OutOfMemoryError:
            raise
        except (
            TypeError,
            ValueError,
            RuntimeError,
            AttributeError,
            LookupError,
        ):  # as many as there are models
            pass
        finally:
            self.train(training)
            if not same:
                self.model.set_attn_implementation(before)
        return same

    def features(self, batch: Batch) -> Tensor:
        """The last hidden state of each word's first piece, (words, hidden)."""
        if batch.packed:
            states = self.model.base_model(
                input_ids=batch.input_ids,
                position_ids=batch.positions + first_position(self.model.config),
                layout=Layout(batch.sizes, batch.input_ids.device),
                masks=self.masks,
            )
        else:
            states = self.model.base_model(
                input_ids=batch.input_ids, attention_mask=batch.attention_mask
            )
        return states.last_hidden_state.flatten(0, 1).index_select(0, batch.first)

    def use_rows(self, pieces: np.ndarray) -> None:
        """Trains only these pieces' rows of the table of pieces, which `save` and `restore_rows` make whole. A table
        that does more than look up, as Gemma's, which scales, is trained whole."""
        table = self.input_table()
        if type(table) is nn.Embedding and table.max_norm is None:
            self.model.set_input_embeddings(UsedRows(table, pieces))

    def restore_rows(self) -> None:
        if isinstance(table := self.input_table(), UsedRows):
            self.model.set_input_embeddings(table.restored())

    def input_table(self) -> nn.Module | None:
        """The table of pieces; None in a model that has no one table, as CANINE."""
        try:
            return self.model.get_input_embeddings()
        except (NotImplementedError, AttributeError):
            return None

    def classifier(self) -> list[nn.Module]:
        """The model's modules that are not its body, in their order."""
        return [module for module in self.model.children() if module is not self.model.base_model]

    def renew_classifier(self) -> None:
        """Draws the last layer anew: a checkpoint's labels may be as many as ours and mean others."""
        last = [module for module in self.classifier() if isinstance(module, nn.Linear)][-1]
        nn.init.normal_(last.weight, std=getattr(self.model.config, "initializer_range", 0.02))
        if last.bias is not None:
            nn.init.zeros_(last.bias)

    def classify(self, features: Tensor) -> Tensor:
        """(words, hidden) -> (words, labels)."""
        for module in self.classifier():
            features = module(features)
        return features

    def save(self, folder: Path) -> None:
        self.restore_rows()
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def first_position(config) -> int:
    """The RoBERTa family counts positions from pad_token_id + 1."""
    counts_from_pad = config.model_type in {
        "roberta",
        "xlm-roberta",
        "camembert",
        "xlm-roberta-xl",
        "longformer",
    }
    return config.pad_token_id + 1 if counts_from_pad else 0


def position_limit(config) -> int:
    """How many pieces fit, special ones included."""
    return (getattr(config, "max_position_embeddings", None) or 10**9) - first_position(config)


@dataclass(frozen=True)
class Pretrained:
    """A pretrained encoder: `name` is a hub id or a local folder; `package`, where installed, is a Python package that
    carries the model in its folder `model` and is used in place of the hub; max_length bounds the pieces of a window.

    Only safetensors are read and no code of the model's is run. Raises ValueError where the model cannot be loaded.
    """

    name: str
    revision: str | None = None
    package: str | None = None
    max_length: int | None = None

    def __post_init__(self):
        if self.max_length is not None and self.max_length < 8:
            raise ValueError(f"max_length={self.max_length}: must be ≥ 8 pieces")
        if self.package is not None and not self.package.isidentifier():
            raise ValueError(
                f"package={self.package}: must be the name of an installed package, without dots"
            )

    def location(self) -> str:
        """The folder or hub id that is loaded."""
        spec = importlib.util.find_spec(self.package) if self.package else None
        return str(Path(spec.origin).parent / "model") if spec and spec.origin else self.name

    def identity(self) -> str:
        """What fixes weights and pieces: the hub's commit, or a SHA-256 over the files of a local folder."""
        folder = Path(self.location())
        if folder.is_dir():
            files = self.local_files()
            if not (folder / "config.json").is_file() or not any(
                name.endswith(".safetensors") for name, _ in files
            ):
                raise ValueError(
                    f"model.name={folder}: expected config.json and model.safetensors in the folder"
                )
            return file_digest(files)
        try:
            hub.ask(self.name, "config.json", self.revision)
            return Path(cached_file(self.name, "config.json", revision=self.revision)).parent.name
        except (OSError, ValueError) as error:
            raise self.unavailable(error) from None

    def unavailable(self, error: Exception) -> ValueError:
        missing = (
            f"; install nersweep[offline], which carries it in {self.package}"
            if self.package
            else ""
        )
        return ValueError(
            f"model.name={self.name}: cannot be loaded as a folder or from the hub ({reason(error)})"
            f"{missing}; for a local copy type model=hf model.name=DIR"
        )

    def build(self, outputs: Sequence[str], corpus: Corpus | None = None) -> Encoder:
        """outputs: the names of the classifier's scores, drawn anew where the checkpoint has others. The corpus is for
        encoders that are made from it."""
        encoder, whole = self.load(outputs)
        if not whole:
            encoder.renew_classifier()
        return encoder

    def load(self, outputs: Sequence[str]) -> tuple[Encoder, bool]:
        """The encoder as it lies there, and whether all of its weights do, with a classifier of these outputs."""
        where = self.location()
        files = self.local_files()
        try:
            digest = file_digest(files) if files else ""
            model, tokenizer, whole = checkpoint(where, self.revision, tuple(outputs), digest)
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise self.unavailable(error) from None
        if not tokenizer.is_fast or tokenizer.pad_token_id is None:
            raise ValueError(
                f"model.name={self.name}: its tokenizer must be a fast one, which words and pieces are aligned with, "
                "and have a padding piece"
            )
        return Encoder(deepcopy(model), tokenizer, self.max_length), whole

    def local_files(self) -> tuple[tuple[str, int], ...]:
        """The files that decide what a local folder computes, with their times; none for the hub."""
        files = sorted(file for pattern in IDENTITY for file in Path(self.location()).glob(pattern))
        return tuple((str(file), file.stat().st_mtime_ns) for file in files)


@lru_cache(maxsize=1)
def checkpoint(
    where: str, revision: str | None, outputs: tuple[str, ...], digest: str
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast, bool]:
    """Model, tokenizer, and whether the checkpoint has all weights of a model with these outputs. Kept for the next
    run of the same model; `digest` tells a folder whose files have changed."""
    config = AutoConfig.from_pretrained(where, revision=revision, trust_remote_code=False)
    same_outputs = config.id2label == dict(enumerate(outputs))
    config.update(label_names(outputs))
    with torch.random.fork_rng(
        devices=[]
    ):  # a model that is kept draws nothing, nor may the first load: the same
        torch.manual_seed(0)  # seed gives the same run, whatever ran before it in this process
        model, info = AutoModelForTokenClassification.from_pretrained(
            where,
            config=config,
            revision=revision,
            trust_remote_code=False,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            dtype=torch.float32,
        )
    tokenizer = AutoTokenizer.from_pretrained(where, revision=revision, trust_remote_code=False)
    return (
        model,
        tokenizer,
        same_outputs and not info["missing_keys"] and not info["mismatched_keys"],
    )


@lru_cache
def file_digest(files: tuple[tuple[str, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, _ in files:
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def label_names(outputs: Sequence[str]) -> dict:
    names = dict(enumerate(outputs))
    return {
        "num_labels": len(names),
        "id2label": names,
        "label2id": {name: i for i, name in names.items()},
    }


@dataclass(frozen=True)
class Scratch:
    """A small BERT with random weights: `layers` of `hidden` units, `heads` attention heads, windows of max_length.

    Its vocabulary comes from the training words. pieces="words": every word that occurs min_count times, and single
    characters for the others ("Lo" is L ##o); pieces="characters": single characters only. Raises ValueError where
    hidden is no multiple of heads, or a size is below 1.
    """

    hidden: int
    layers: int
    heads: int
    dropout: float
    max_length: int
    min_count: int
    pieces: Literal["words", "characters"]

    def __post_init__(self):
        for name in ("hidden", "layers", "heads", "min_count"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be ≥ 1")
        if self.hidden % self.heads:
            raise ValueError(f"hidden={self.hidden}: must be a multiple of heads={self.heads}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout}: must be in [0, 1)")
        if self.max_length < 8:
            raise ValueError(f"max_length={self.max_length}: must be ≥ 8 pieces")

    def identity(self) -> str:
        return "scratch"  # the config and the training words say the rest

    def build(self, outputs: Sequence[str], corpus: Corpus) -> Encoder:
        """outputs: the names of the classifier's scores."""
        tokenizer = self.tokenizer(corpus)
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=self.hidden,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=4 * self.hidden,
            hidden_dropout_prob=self.dropout,
            attention_probs_dropout_prob=self.dropout,
            max_position_embeddings=self.max_length,
            pad_token_id=tokenizer.pad_token_id,
            **label_names(outputs),
        )
        return Encoder(BertForTokenClassification(config), tokenizer)

    def tokenizer(self, corpus: Corpus) -> PreTrainedTokenizerFast:
        """Deterministic: pieces stand in the order of their counts, then of their spelling."""
        counts = Counter(word for sentence in corpus.train for word in sentence.words)
        characters = sorted({character for word in counts for character in word})
        words = sorted(
            (w for w in counts if len(w) > 1 and counts[w] >= self.min_count),
            key=lambda w: (-counts[w], w),
        )
        vocabulary = [*SPECIALS.values(), *characters, *(f"##{c}" for c in characters)]
        if self.pieces == "words":
            vocabulary += words
        vocabulary = list(
            dict.fromkeys(vocabulary)
        )  # a word may be spelled like another piece: ##a, [SEP]
        backend = Tokenizer(
            models.WordPiece(
                {piece: i for i, piece in enumerate(vocabulary)},
                unk_token=SPECIALS["unk_token"],
                max_input_chars_per_word=1000,
            )
        )
        backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        backend.decoder = decoders.WordPiece()
        backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        return PreTrainedTokenizerFast(
            tokenizer_object=backend, model_max_length=self.max_length, **SPECIALS
        )
