"""Low-rank adapters: small matrices beside those of a model, which stay as they are."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from nersweep.faults import Fault, UserError

if TYPE_CHECKING:
    from peft import LoraConfig

WEIGHTS = "adapter_model.safetensors"  # the name that peft knows
CONFIG = "adapter_config.json"  # likewise
PREFIX = "base_model.model."  # of names in that file
NAME = ".default"  # of the adapter, in names of parameters


@dataclass(frozen=True)
class Lora:
    """LoRA (Hu et al. 2021): W + (alpha / r)·BA, with A (r, in) random and B (out, r) 0 at first.

    r: the rank. dropout: of the adapter's input. targets: names of linear layers, such as
    [q_proj, v_proj]; None for all in the body. merge: save W + (alpha / r)·BA, not A and B.
    """

    r: int = 32
    alpha: int = 64
    dropout: float = 0.05
    targets: Sequence[str] | None = None
    merge: bool = False

    def __post_init__(self) -> None:
        faults = []
        if self.r < 1:
            faults.append(Fault("lora.r", self.r, "must be ≥ 1"))
        if self.alpha < 1:
            faults.append(Fault("lora.alpha", self.alpha, "must be ≥ 1"))
        if not 0 <= self.dropout < 1:
            faults.append(Fault("lora.dropout", self.dropout, "must be in [0, 1)"))
        if self.targets is not None and not self.targets:
            must = "must name linear layers, or be null for all"
            faults.append(Fault("lora.targets", self.targets, must))
        if faults:
            raise UserError(*faults)


@dataclass(frozen=True)
class Adapter:
    """What an adapter needs to be loaded again: its settings, and the model that it belongs to.

    base: arguments of `Pretrained`. identity: of the base, as `Pretrained.identity` gives it.
    """

    lora: Lora
    base: Mapping[str, Any]
    identity: str

    def facts(self) -> dict[str, Any]:
        """Return it in the types of JSON."""
        return asdict(self)


def linear_layers(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Return the linear layers of a model's body by their names; quantised ones are linear too."""
    body = model.base_model_prefix
    layers: dict[str, nn.Module] = {}
    for name, module in model.base_model.named_modules():
        if isinstance(module, nn.Linear | Conv1D):
            layers[f"{body}.{name}"] = module
    return layers


def targets_of(model: PreTrainedModel, lora: Lora) -> list[str]:
    """Return the names of the layers to adapt. Raises UserError if they do not fit."""
    layers = linear_layers(model)
    most = model.config.get_text_config().hidden_size
    if lora.r > most:
        raise UserError(Fault("model.lora.r", lora.r, f"must be ≤ {most}, the width of the model"))
    if lora.targets is None:
        return list(layers)
    last = dict.fromkeys(name.rpartition(".")[2] for name in layers)
    if unknown := [target for target in lora.targets if target not in last]:
        must = f"no linear layer is called {', '.join(unknown)}"
        remedy = f"this model has {', '.join(last)}"
        raise UserError(Fault("model.lora.targets", list(lora.targets), must, remedy))
    return [name for name in layers if name.rpartition(".")[2] in lora.targets]


def add(model: PreTrainedModel, lora: Lora) -> None:
    """Add adapters in place. Nothing else is trained but what the model has above its body."""
    from peft import inject_adapter_in_model  # a second that other runs do not need

    inject_adapter_in_model(peft_config(model, lora), model)
    for module in model.children():
        if module is not model.base_model:
            module.requires_grad_(True)


def peft_config(model: PreTrainedModel, lora: Lora) -> "LoraConfig":
    """Return the settings of an adapter as peft has them."""
    from peft import LoraConfig

    targets = targets_of(model, lora)
    layers = linear_layers(model)
    return LoraConfig(
        task_type="TOKEN_CLS",
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        # GPT-2's matrices are transposed.
        fan_in_fan_out=any(isinstance(layers[name], Conv1D) for name in targets),
    )


def file_parameters(model: PreTrainedModel) -> dict[str, nn.Parameter]:
    """Return the parameters that a file of an adapter holds, by their names there.

    They are those of the adapter and of what the model has above its body.
    """
    body = f"{model.base_model_prefix}."
    parameters = {}
    for name, parameter in model.named_parameters():
        if not name.startswith(body) or f"{NAME}." in name:
            parameters[PREFIX + name.replace(f"{NAME}.", ".")] = parameter
    return parameters


def save(folder: Path, model: PreTrainedModel, adapter: Adapter) -> None:
    """Write an adapter to a folder as peft does, which can load it."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {}
    for name, parameter in file_parameters(model).items():
        weights[name] = parameter.detach().contiguous()
    save_file(weights, folder / WEIGHTS, {"format": "pt"})
    above = [name for name, module in model.named_children() if module is not model.base_model]
    config: Any = model.peft_config["default"]
    config.modules_to_save = [name for name in above if f"{PREFIX}{name}." in "\n".join(weights)]
    config.base_model_name_or_path = adapter.base["name"]
    config.revision = adapter.base["revision"]
    config.save_pretrained(folder)


def load(folder: Path, model: PreTrainedModel) -> None:
    """Load the adapter of a folder into a model that has one of the same form.

    Its parameters are in float32 then, whatever the base is in. Raises ValueError if names or
    shapes differ.
    """
    weights, parameters = load_file(folder / WEIGHTS), file_parameters(model)
    if weights.keys() != parameters.keys():
        names = sorted(weights.keys() ^ parameters.keys())
        raise ValueError(f"{WEIGHTS} does not fit its settings: {names[0]}")
    for name, parameter in parameters.items():
        if weights[name].shape != parameter.shape:
            raise ValueError(f"{WEIGHTS} does not fit its settings: {name} has another shape")
        parameter.data = weights[name].float().to(parameter.device)


def merge(model: PreTrainedModel) -> None:
    """Add adapters to the matrices they stand beside, and remove them."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, module.get_base_layer())
