"""Encoders: pretrained ones from the hub or a folder, and a small one built from a config and trained from scratch.

Both give a transformers token-classification model with its tokenizer, wrapped as an `Encoder`.
"""

import hashlib
import importlib.util
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

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

from nersweep import hub
from nersweep.batching import Batch
from nersweep.data import Corpus
from nersweep.faults import reason

# The files of a model's folder that decide what it computes.
IDENTITY = ("config.json", "*.safetensors", "*token*.json", "vocab.*", "merges.txt", "*.model")
SPECIALS = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}


class Encoder(nn.Module):
    """A transformers token-classification model that sees words: `features` gives one row per word, from the word's
    first piece, and `classify` applies to such rows what the model has above its body (dropout and a linear layer in
    BERT). The model is saved as it is, so that `transformers.pipeline` loads it."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, max_length: int | None = None):
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.max_length = min(position_limit(model.config), tokenizer.model_max_length, max_length or 10**9)

    def on(self, device: torch.device) -> "Encoder":
        """On this device, with the attention that is fast there: on CPU a MiniLM step on sentences of CoNLL-2003 takes
        .9 s with sdpa, whose backward is slow, and .6 s with this."""
        if device.type == "cpu":
            self.model.set_attn_implementation("eager")
        return self.to(device)

    def features(self, batch: Batch) -> Tensor:
        """The last hidden state of each word's first piece, (words, hidden)."""
        states = self.model.base_model(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
        return states.last_hidden_state.flatten(0, 1)[batch.first]

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
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def position_limit(config) -> int:
    """How many pieces fit, special ones included. The RoBERTa family counts positions from pad_token_id + 1."""
    limit = getattr(config, "max_position_embeddings", None) or 10**9
    counts_from_pad = config.model_type in {"roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "longformer"}
    return limit - config.pad_token_id - 1 if counts_from_pad else limit


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
            raise ValueError(f"package={self.package}: must be the name of an installed package, without dots")

    def location(self) -> str:
        """The folder or hub id that is loaded."""
        spec = importlib.util.find_spec(self.package) if self.package else None
        return str(Path(spec.origin).parent / "model") if spec and spec.origin else self.name

    def identity(self) -> str:
        """What fixes weights and pieces: the hub's commit, or a SHA-256 over the files of a local folder."""
        folder = Path(self.location())
        if folder.is_dir():
            files = sorted(file for pattern in IDENTITY for file in folder.glob(pattern))
            if not (folder / "config.json").is_file() or not any(f.suffix == ".safetensors" for f in files):
                raise ValueError(f"model.name={folder}: expected config.json and model.safetensors in the folder")
            return file_digest(tuple((str(file), file.stat().st_mtime_ns) for file in files))
        try:
            hub.ask(self.name, "config.json", self.revision)
            return Path(cached_file(self.name, "config.json", revision=self.revision)).parent.name
        except (OSError, ValueError) as error:
            raise self.unavailable(error) from None

    def unavailable(self, error: Exception) -> ValueError:
        missing = f"; install nersweep[offline], which carries it in {self.package}" if self.package else ""
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
        try:
            config = AutoConfig.from_pretrained(where, revision=self.revision, trust_remote_code=False)
            same_outputs = config.id2label == dict(enumerate(outputs))
            config.update(label_names(outputs))
            model, info = AutoModelForTokenClassification.from_pretrained(
                where,
                config=config,
                revision=self.revision,
                trust_remote_code=False,
                use_safetensors=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                dtype=torch.float32,
            )
            tokenizer = AutoTokenizer.from_pretrained(where, revision=self.revision, trust_remote_code=False)
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise self.unavailable(error) from None
        if not tokenizer.is_fast:
            raise ValueError(f"model.name={self.name}: has no fast tokenizer, which words and pieces are aligned with")
        whole = same_outputs and not info["missing_keys"] and not info["mismatched_keys"]
        return Encoder(model, tokenizer, self.max_length), whole


@lru_cache
def file_digest(files: tuple[tuple[str, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, _ in files:
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def label_names(outputs: Sequence[str]) -> dict:
    names = dict(enumerate(outputs))
    return {"num_labels": len(names), "id2label": names, "label2id": {name: i for i, name in names.items()}}


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
        words = sorted((w for w in counts if len(w) > 1 and counts[w] >= self.min_count), key=lambda w: (-counts[w], w))
        vocabulary = [*SPECIALS.values(), *characters, *(f"##{c}" for c in characters)]
        if self.pieces == "words":
            vocabulary += words
        vocabulary = list(dict.fromkeys(vocabulary))  # a word may be spelled like another piece: ##a, [SEP]
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
        return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=self.max_length, **SPECIALS)
