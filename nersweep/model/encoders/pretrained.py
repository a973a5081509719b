"""Pretrained encoders from the hub, a folder or a Python package."""

import hashlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast, get_type_hints

import torch
from safetensors import SafetensorError
from transformers import (
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
    MODEL_MAPPING,
    AutoConfig,
    AutoTokenizer,
    BitsAndBytesConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_layers import GenericForTokenClassification
from transformers.utils.hub import cached_file

from nersweep.config.build import fits
from nersweep.config.schema import describe
from nersweep.data import hub
from nersweep.data.corpus import Corpus
from nersweep.faults import Fault, UserError, reason
from nersweep.machine.files import write_json
from nersweep.model.encoders import HIDDEN_TYPE, adapters, layers
from nersweep.model.encoders.adapters import Adapter, Lora
from nersweep.model.encoders.encoder import Encoder, label_names
from nersweep.model.encoders.probe import UNSUITED
from nersweep.terminal import console

# The files of a model's folder that decide what it computes.
IDENTITY = ("config.json", "*.safetensors", "*token*.json", "vocab.*", "merges.txt", "*.model")
# What loading a folder or a hub id leads to that is no model of this kind.
UNLOADABLE = (*UNSUITED, OSError, ImportError, SafetensorError)


@dataclass(frozen=True)
class Pretrained:
    """A pretrained encoder, or a decoder that is used as one.

    name: a hub id or a local folder. package: a Python package that carries the model in its folder
    `model`; it takes the hub's place if it is installed. max_length: the most pieces of a window.
    attention: of a decoder, whose layers see earlier pieces alone: the layers that are to see later
    ones too, all (bidirectional) or a list of layers and ranges. freeze: so many of the lowest
    layers, and the embeddings, are not trained; None for nothing. load: the number format in which
    the weights are loaded; None for that of training. peft: train a low-rank adapter alone, with
    the settings `lora` of `Lora`. recompute: keep no activations within a layer for the backward
    pass, but compute them again (gradient checkpointing).

    Only safetensors are read and none of the model's code is run. Raises UserError if the model
    cannot be loaded, or cannot do what is asked of it.
    """

    name: str
    revision: str | None = None
    package: str | None = None
    max_length: int | None = None
    attention: layers.Attention = None
    freeze: int | None = None
    load: Literal["bf16", "8bit", "4bit"] | None = None
    peft: Literal["none", "lora"] = "none"
    lora: Mapping[str, Any] = field(default_factory=dict)
    recompute: bool = False

    def __post_init__(self) -> None:
        if self.max_length is not None and self.max_length < 8:
            raise UserError(Fault("max_length", self.max_length, "must be ≥ 8 pieces"))
        if self.package is not None and not self.package.isidentifier():
            must = "must be the name of an installed package, without dots"
            raise UserError(Fault("package", self.package, must))
        if self.freeze is not None and self.freeze < 0:
            raise UserError(Fault("freeze", self.freeze, "must be ≥ 0"))
        layers.chosen_layers(self.attention)
        lora = self.checked_lora()
        if self.peft == "lora":
            require_package("peft", "lora", "peft")
        elif unread := [name for name in self.lora if getattr(lora, name) != getattr(Lora(), name)]:
            must, remedy = "nothing reads it with model.peft=none", "set model.peft=lora"
            faults = [Fault(f"lora.{name}", self.lora[name], must, remedy) for name in unread]
            raise UserError(*faults)
        if self.quantised:
            self.check_quantised(lora)

    def check_quantised(self, lora: Lora) -> None:
        """Raise UserError unless weights of few bits can be loaded and their adapter saved."""
        if not torch.cuda.is_available():
            must = "needs CUDA, as bitsandbytes' kernels do"
            raise UserError(Fault("load", self.load, must, "set model.load=bf16"))
        require_package("load", self.load, "bitsandbytes")
        if self.peft == "none":
            must = "weights of so few bits cannot be trained"
            raise UserError(Fault("load", self.load, must, "set model.peft=lora"))
        if lora.merge:
            must = "must be false: an adapter does not fit into weights of so few bits"
            raise UserError(Fault("lora.merge", True, must, "set model.load=bf16"))

    @property
    def quantised(self) -> bool:
        """Whether the weights are in fewer bits than torch computes with."""
        return self.load in ("8bit", "4bit")

    def checked_lora(self) -> Lora:
        """Return the settings of the adapter. Raises UserError for wrong ones."""
        hints, faults = get_type_hints(Lora), []
        for name, value in self.lora.items():
            if name not in hints:
                remedy = f"model.lora has {', '.join(hints)}"
                faults.append(Fault(f"lora.{name}", value, "no such setting", remedy))
            elif not fits(value, hints[name]):
                expected = f"expected {describe(hints[name])}"
                faults.append(Fault(f"lora.{name}", value, expected))
        if faults:
            raise UserError(*faults)
        return Lora(**self.lora)

    def location(self) -> str:
        """Return the folder or the hub id that is loaded."""
        spec = importlib.util.find_spec(self.package) if self.package else None
        return str(Path(spec.origin).parent / "model") if spec and spec.origin else self.name

    def identity(self) -> str:
        """Return what fixes weights and pieces.

        That is the hub's commit, or a SHA-256 over the files of a local folder. Raises UserError
        also for settings that do not fit the model.
        """
        identity = self.identity_of_files()
        self.check_model(identity)
        return identity

    def identity_of_files(self) -> str:
        """Return what `identity` does, without a look at the model."""
        folder = Path(self.location())
        if folder.is_dir():
            if (folder / adapters.WEIGHTS).is_file():
                must = "holds an adapter, and no whole model"
                remedy = "name the folder of a run with model.lora.merge=true"
                raise UserError(Fault("model.name", folder, must, remedy))
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

    def check_model(self, identity: str) -> None:
        """Raise UserError for settings that do not fit the model, of which no weights are read."""
        if self.attention is None and self.freeze is None and self.peft == "none":
            return
        try:
            model = outline(self.location(), self.revision, identity)
        except UNLOADABLE as error:
            raise self.unavailable(error) from None
        layers.layers_ahead(model, self.attention)
        if self.freeze is not None:
            layers.require_count(model, self.freeze)
        if self.peft == "lora":
            adapters.targets_of(model, self.checked_lora())

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
        encoder, whole = self.load_encoder(outputs)
        if not whole:
            encoder.renew_classifier()
        if self.peft == "lora":
            adapters.add(encoder.model, self.checked_lora())
            encoder.adapter = Adapter(self.checked_lora(), *self.origin())
        if self.freeze is not None:
            layers.freeze(encoder.model, self.freeze, encoder.run_probe)
        if self.recompute:
            encoder.recompute()
        return encoder

    def origin(self) -> tuple[dict[str, Any], str]:
        """Return the arguments of the same model wherever the program runs, and its identity."""
        place, identity = Path(self.location()), self.identity_of_files()
        if place.is_dir():
            name, revision = str(place.resolve()), None
        else:
            name, revision = self.name, identity
        return {"name": name, "revision": revision, "load": self.load}, identity

    def load_encoder(self, outputs: Sequence[str]) -> tuple[Encoder, bool]:
        """Return the stored encoder, and whether it has all weights of one with these outputs."""
        files = self.local_files()
        digest = file_digest(files) if files else ""
        source = self.location(), self.revision, tuple(outputs), digest, self.load
        try:
            # A large model fits into memory once.
            load = checkpoint if self.load is None else checkpoint.__wrapped__
            model, tokenizer, whole = load(*source)
        except (torch.OutOfMemoryError, UserError):
            raise
        except UNLOADABLE as error:
            raise self.unavailable(error) from None
        if self.load is None:
            model = deepcopy(model)
        encoder = Encoder(model, tokenizer, self.max_length)
        encoder.ahead = layers.layers_ahead(model, self.attention)
        return encoder, whole

    def local_files(self) -> tuple[tuple[str, int], ...]:
        """Return the files that decide what a local folder computes, and their times."""
        files: list[Path] = []
        for pattern in IDENTITY:
            files += Path(self.location()).glob(pattern)
        return tuple((str(file), file.stat().st_mtime_ns) for file in sorted(files))


def require_package(setting: str, value: object, package: str) -> None:
    """Raise UserError for a value that needs a package which is not installed."""
    if importlib.util.find_spec(package) is None:
        must, remedy = f"needs the package {package}", f"install nersweep[{package}]"
        raise UserError(Fault(setting, value, must, remedy))


@lru_cache(maxsize=1)
def checkpoint(
    where: str, revision: str | None, outputs: tuple[str, ...], digest: str, load: str | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, bool]:
    """Return model, tokenizer, and whether the checkpoint has all weights for these outputs.

    They are kept for the next run of the same model. digest: of the files, if it is a folder.
    """
    config = config_of(where, revision)
    same_outputs = config.id2label == dict(enumerate(outputs))
    config.update(label_names(outputs))
    if hasattr(config, "use_cache"):
        config.use_cache = False  # of a decoder's earlier pieces, which are never asked for again
    kind: Any = model_class(config)
    # A kept model draws nothing, so the first load must not either: the same seed gives the same
    # run, whatever ran before it in this process. torch.manual_seed would seed CUDA too.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model, info = kind.from_pretrained(
            where,
            config=config,
            revision=revision,
            trust_remote_code=False,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            dtype=torch.float32 if load is None else torch.bfloat16,
            **quantisation(load),
        )
    require_body(where, model, info)
    tokenizer = AutoTokenizer.from_pretrained(
        where, config=config, revision=revision, trust_remote_code=False
    )
    if tokenizer.pad_token_id is None:  # a decoder's: any piece will do, as nothing sees it
        tokenizer.pad_token_id = tokenizer.eos_token_id or tokenizer.unk_token_id or 0
    complete = not info["missing_keys"] and not info["mismatched_keys"]
    return model, tokenizer, same_outputs and complete


def hide_from_transformers(folder: Path, name: str) -> None:
    """Give a saved model a model_type that transformers does not know, and names in its error.

    It would load a model whose classifier needs a head of ours, and give wrong labels.
    """
    file = folder / "config.json"
    values = json.loads(file.read_text(encoding="utf-8"))
    write_json(file, values | {"model_type": name, HIDDEN_TYPE: values["model_type"]})


@lru_cache(maxsize=1)
def outline(where: str, revision: str | None, identity: str) -> PreTrainedModel:
    """Return a model without weights. identity: of its files."""
    config = config_of(where, revision)
    with torch.device("meta"):
        return model_class(config)(config)


def config_of(where: str, revision: str | None) -> PretrainedConfig:
    """Return the configuration of a model, also of one that is hidden from transformers.

    What it says of attention is left out: it might name code on the hub.
    """
    file = Path(where) / "config.json"
    values = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    plain: dict[str, Any] = {}
    for name in ("attn_implementation", "experts_implementation"):
        plain |= {name: None, f"_{name}": None}  # transformers heeds both spellings
    config: PretrainedConfig
    if HIDDEN_TYPE in values:
        values["model_type"] = values.pop(HIDDEN_TYPE)
        config = AutoConfig.for_model(**values | plain)
    else:
        config = AutoConfig.from_pretrained(
            where, revision=revision, trust_remote_code=False, **plain
        )
    if getattr(config, "quantization_config", None) is not None:
        raise ValueError("its weights are quantised; model.load quantises those that are not")
    return config


def model_class(config: PretrainedConfig) -> type[PreTrainedModel]:
    """Return the class of a token classifier; made of the body's if transformers has none."""
    kind = type(config)
    ready: Any = MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING.get(kind, None)
    if ready is not None:
        return cast("type[PreTrainedModel]", ready)
    body: Any = MODEL_MAPPING[kind]
    family = next(base for base in body.__mro__[1:] if issubclass(base, PreTrainedModel))
    name = f"{kind.__name__.removesuffix('Config')}ForTokenClassification"
    return type(name, (GenericForTokenClassification, family), {})


def quantisation(load: str | None) -> dict[str, Any]:
    """Return the arguments that load weights in few bits, on the CUDA device in use."""
    if load not in ("8bit", "4bit"):
        return {}
    settings = BitsAndBytesConfig(
        load_in_8bit=load == "8bit",
        load_in_4bit=load == "4bit",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
        bnb_4bit_use_double_quant=True,
    )
    return {"quantization_config": settings, "device_map": {"": torch.cuda.current_device()}}


def require_body(where: str, model: PreTrainedModel, info: Mapping[str, Any]) -> None:
    """Raise ValueError if weights of the body have other shapes; print a note if it lacks some."""
    body = f"{model.base_model_prefix}."
    for name, stored, expected in info["mismatched_keys"]:
        if name.startswith(body):
            shapes = f"{tuple(stored)} in the weights, {tuple(expected)} in config.json"
            raise ValueError(f"{name} has the shape {shapes}")
    lacking = sorted(name for name in info["missing_keys"] if name.startswith(body))
    if lacking:
        names = ", ".join(lacking[:3]) + ", …" * (len(lacking) > 3)
        console.print(f"note: {where} lacks {len(lacking)} weights, which are drawn: {names}")


@lru_cache
def file_digest(files: tuple[tuple[str, int], ...]) -> str:
    """Return the SHA-256 over the contents of files, given with the times of their last change."""
    digest = hashlib.sha256()
    for path, _ in files:
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
