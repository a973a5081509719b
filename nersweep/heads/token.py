"""The token head: each word is labelled by itself."""

from torch import Tensor, nn

from nersweep.encoder import Encoder


class TokenHead(nn.Module):
    """The encoder's own classifier; the label is the one with the highest score."""

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.classify = encoder.classify  # its parameters are the encoder's, and are saved with it

    def forward(self, features: Tensor) -> Tensor:
        """Word features (W, hidden) -> emissions (W, C), raw scores."""
        return self.classify(features)

    def decode(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """Emissions (W, C) of sentences with so many words each (S,) -> label ids (W,)."""
        return emissions.argmax(-1)
