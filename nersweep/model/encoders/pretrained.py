"""Pretrained encoders from the hub, a folder or a Python package."""

import hashlib
import importlib.util
import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.utils.hub import cached_file

from nersweep.data import hub
from nersweep.data.corpus import Corpus
from nersweep.faults import Fault, UserError, reason
from nersweep.machine.files import write_json
from nersweep.model.encoders.encoder import Encoder, label_names

# The key of config.json under which `hide_from_transformers` keeps the encoder's model_type.
HIDDEN_TYPE = "encoder_model_type"
# The files of a model's folder that decide what it computes.
IDENTITY = ("config.json", "*.safetensors", "*token*.json", "vocab.*", "merges.txt", "*.model")


@dataclass(frozen=True)
class Pretrained:
    """A pretrained encoder.

    name: a hub id or a local folder. package: a Python package that carries the model in its folder
    `model`; it takes the hub's place if it is installed. max_length: the most pieces of a window.

    Only safetensors are read and none of the model's code is run. Raises UserError if the model
    cannot be loaded.
    """

    name: str
    revision: str | None = None
    package: str | None = None
    max_length: int | None = None

    def __post_init__(self) -> None:
        if self.max_length is not None and self.max_length < 8:
            raise UserError(Fault("max_length", self.max_length, "must be ≥ 8 pieces"))
        if self.package is not None and not self.package.isidentifier():
            must = "must be the name of an installed package, without dots"
            raise UserError(Fault("package", self.package, must))

    def location(self) -> str:
        """Return the folder or the hub id that is loaded."""
        spec = importlib.util.find_spec(self.package) if self.package else None
        return str(Path(spec.origin).parent / "model") if spec and spec.origin else self.name

    def identity(self) -> str:
        """Return what fixes weights and pieces.

        That is the hub's commit, or a SHA-256 over the files of a local folder.
        """
        folder = Path(self.location())
        if folder.is_dir():
            if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
                expected = "expected config.json and model.safetensors in the folder"
                raise UserError(Fault("model.name", folder, expected))
            return file_digest(self.local_files())
        try:
            hub.ask(self.name, "config.json", self.revision)
            config = cached_file(self.name, "config.json", revision=self.revision)
        except (OSError, ValueError) as error:
            raise self.unavailable(error) from None
        assert config is not None  # a missing file raises
        return Path(config).parent.name

    def unavailable(self, error: Exception) -> UserError:
        """Return the error to raise if the model cannot be loaded."""
        must = f"cannot be loaded as a folder or from the hub ({reason(error)})"
        remedy = "for a local copy set model=hf model.name=DIR"
        if self.package:
            carried = f"install nersweep[offline], which carries it in {self.package}"
            remedy = f"{carried}; {remedy}"
        return UserError(Fault("model.name", self.name, must, remedy))

    def build(self, outputs: Sequence[str], corpus: Corpus | None = None) -> Encoder:
        """Return an encoder whose classifier has these outputs, drawn if the checkpoint has others.

        corpus: for encoders that are made from it.
        """
        encoder, whole = self.load(outputs)
        if not whole:
            encoder.renew_classifier()
        return encoder

    def load(self, outputs: Sequence[str]) -> tuple[Encoder, bool]:
        """Return the stored encoder, and whether it has all weights of one with these outputs."""
        files = self.local_files()
        digest = file_digest(files) if files else ""
        try:
            model, tokenizer, whole = checkpoint(
                self.location(), self.revision, tuple(outputs), digest
            )
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise self.unavailable(error) from None
        if not tokenizer.is_fast or tokenizer.pad_token_id is None:
            must = "must have a fast tokenizer, which aligns words with pieces, and a padding piece"
            raise UserError(Fault("model.name", self.name, must))
        return Encoder(deepcopy(model), tokenizer, self.max_length), whole

    def local_files(self) -> tuple[tuple[str, int], ...]:
        """Return the files that decide what a local folder computes, and their times."""
        files: list[Path] = []
        for pattern in IDENTITY:
            files += Path(self.location()).glob(pattern)
        return tuple((str(file), file.stat().st_mtime_ns) for file in sorted(files))


@lru_cache(maxsize=1)
def checkpoint(
    where: str, revision: str | None, outputs: tuple[str, ...], digest: str
) -> tuple[PreTrainedModel, Any, bool]:
    """Return model, tokenizer, and whether the checkpoint has all weights for these outputs.

    They are kept for the next run of the same model. digest: of the files, if it is a folder.
    """
    config = config_of(where, revision)
    same_outputs = config.id2label == dict(enumerate(outputs))
    config.update(label_names(outputs))
    # A kept model draws nothing, so the first load must not either: the same seed gives the same
    # run, whatever ran before it in this process. torch.manual_seed would seed CUDA too.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
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
    complete = not info["missing_keys"] and not info["mismatched_keys"]
    return model, tokenizer, same_outputs and complete


def hide_from_transformers(folder: Path, name: str) -> None:
    """Give a saved model a model_type that transformers does not know, and names in its error.

    It would load a model whose classifier needs a head of ours, and give wrong labels.
    """
    file = folder / "config.json"
    values = json.loads(file.read_text(encoding="utf-8"))
    write_json(file, values | {"model_type": name, HIDDEN_TYPE: values["model_type"]})


def config_of(where: str, revision: str | None) -> PretrainedConfig:
    """Return the configuration of a model, also of one that is hidden from transformers."""
    file = Path(where) / "config.json"
    values = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    config: PretrainedConfig
    if HIDDEN_TYPE in values:
        values["model_type"] = values.pop(HIDDEN_TYPE)
        config = AutoConfig.for_model(**values)
    else:
        config = AutoConfig.from_pretrained(where, revision=revision, trust_remote_code=False)
    return config


@lru_cache
def file_digest(files: tuple[tuple[str, int], ...]) -> str:
    """Return the SHA-256 over the contents of files, given with the times of their last change."""
    digest = hashlib.sha256()
    for path, _ in files:
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
