"""An embedding table of which only the rows in use are trained: the optimiser skips the others."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


class UsedRows(nn.Module):
    """Replaces an embedding table (V, H) while only these pieces are looked up.

    Exact without weight decay: the other rows have no gradient and do not move.
    """

    row_of: Tensor  # (V,), the row of each used piece

    def __init__(self, table: nn.Embedding, pieces: np.ndarray):
        super().__init__()
        self.whole = (table,)  # in a tuple it is no part of the model
        padding = [] if table.padding_idx is None else [table.padding_idx]
        self.used = torch.from_numpy(np.unique(np.append(pieces, padding).astype(np.int64)))  # (K,)
        row_of = torch.zeros(table.num_embeddings, dtype=torch.long)
        row_of[self.used] = torch.arange(len(self.used))
        self.register_buffer("row_of", row_of, persistent=False)
        self.weight = nn.Parameter(table.weight.detach()[self.used])  # (K, H)
        self.padding_row = None if table.padding_idx is None else int(row_of[table.padding_idx])

    def forward(self, pieces: Tensor) -> Tensor:
        # On CPU the gradient names its rows: zeros for all others would take a tenth of a step.
        sparse = self.weight.device.type == "cpu"
        rows = self.row_of[pieces]
        return functional.embedding(rows, self.weight, self.padding_row, sparse=sparse)

    def restored(self) -> nn.Embedding:
        """Return the table with the rows as they are now."""
        (table,) = self.whole
        with torch.no_grad():
            table.weight[self.used] = self.weight.detach().to(table.weight)
        return table
