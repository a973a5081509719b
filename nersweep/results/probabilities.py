"""The probabilities of a run's labels, word by word, and their only reader and writer."""

from io import BytesIO
from pathlib import Path

import numpy as np

from nersweep.faults import Fault, UserError
from nersweep.machine.files import write_bytes


def file_of(folder: Path, split: str) -> Path:
    return folder / "predictions" / f"{split}.probabilities.npy"


def write_probabilities(folder: Path, split: str, probabilities: np.ndarray) -> None:
    """Write the probabilities of the gold and of the predicted label of each word, (2, W)."""
    content = BytesIO()
    np.save(content, probabilities.astype(np.float32), allow_pickle=False)
    write_bytes(file_of(folder, split), content.getvalue())


def read_probabilities(folder: Path, split: str, words: int) -> np.ndarray | None:
    """Read these probabilities, (2, words); None for a run of an older version.

    Raises UserError if the file is damaged, or of another text.
    """
    file = file_of(folder, split)
    try:
        # Mapped, so that a header that claims more than the file holds takes no memory.
        values = np.load(file, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        must = f"cannot be read ({' '.join(str(error).split())})"
        raise UserError(Fault(str(file), must=must)) from None
    if not isinstance(values, np.ndarray) or values.shape != (2, words) or values.dtype != "f4":
        must = f"not the probabilities of {words:,} words"
        raise UserError(Fault(str(file), must=must))
    return np.array(values)
