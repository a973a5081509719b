"""A token model as ONNX: input_ids and attention_mask to the logits of each piece."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForTokenClassification, PreTrainedModel

from nersweep.faults import Fault, UserError, one_line

FILE = "model.onnx"
PACKAGES = ("onnx", "onnxruntime", "onnxscript")
TOLERANCE = 1e-3  # of the logits, relative to the largest
SHAPES = ((2, 16), (1, 7), (3, 29))  # rows and pieces; the first is traced, the others checked


def check(is_plain: bool) -> None:
    """Raise UserError without the packages, and for a model that is more than its logits.

    is_plain: whether transformers alone reads the model as it was trained.
    """
    if not is_plain:
        must = "has the logits of the encoder alone, and this model computes labels otherwise"
        remedy = "only head=token head.decode=argmax of an encoder is exported"
        raise UserError(Fault("onnx", True, must, remedy))
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        must = f"needs {', '.join(missing)}"
        raise UserError(Fault("onnx", True, must, "run pip install -e '.[onnx]'"))


def write(folder: Path) -> float:
    """Write model.onnx beside the model of a folder, in float32.

    Returns the largest difference of its logits from torch's, over batches of other shapes. Raises
    UserError if it is larger than TOLERANCE, or if torch cannot export the model.
    """
    model = AutoModelForTokenClassification.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", use_safetensors=True
    )
    wrapped = Logits(model).eval()
    batches = [batch(model, *shape) for shape in SHAPES]
    rows, pieces = torch.export.Dim("rows"), torch.export.Dim("pieces")
    try:
        torch.onnx.export(
            wrapped,
            batches[0],
            folder / FILE,
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_shapes=({0: rows, 1: pieces}, {0: rows, 1: pieces}),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        difference = largest_difference(wrapped, folder / FILE, batches)
    except Exception as error:  # of the exporter, whose errors share no class
        must = f"this model cannot be exported ({type(error).__name__}: {one_line(error)[:200]})"
        raise UserError(Fault("onnx", True, must)) from error
    if not difference <= TOLERANCE:  # NaN, too
        must = f"its logits differ from torch's by {difference:.1e} of the largest"
        raise UserError(Fault("onnx", True, must))
    return difference


class Logits(torch.nn.Module):
    """A model that returns its logits alone."""

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def batch(model: PreTrainedModel, rows: int, pieces: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return arbitrary pieces, with padding at the end of the last row."""
    places = torch.arange(rows * pieces).reshape(rows, pieces)
    ids = places * 7919 % model.config.vocab_size
    mask = torch.ones_like(ids)
    mask[-1, pieces // 2 + 1 :] = 0
    return ids, mask


@torch.inference_mode()
def largest_difference(
    model: Logits, file: Path, batches: list[tuple[torch.Tensor, torch.Tensor]]
) -> float:
    """Return the largest difference of the logits of real pieces, relative to the largest."""
    import onnxruntime  # an extra

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    differences: list[float] = []
    for ids, mask in batches:
        expected = model(ids, mask).numpy()
        (logits,) = session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
        real = mask.numpy().astype(bool)
        scale = np.abs(expected[real]).max()
        differences.append(float(np.abs(logits - expected)[real].max() / scale))
    return float(np.max(differences))  # NaN if any is
