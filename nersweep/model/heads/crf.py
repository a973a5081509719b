"""The CRF head: a sentence's labels are scored together."""

from torch import Tensor

from nersweep.batches.batch import Gold
from nersweep.labels import LabelSet
from nersweep.losses.crf import CRF
from nersweep.model.encoders.encoder import Encoder
from nersweep.model.heads.base import Decoded
from nersweep.model.heads.token import TokenHead


class CRFHead(TokenHead):
    """A linear-chain CRF over the token head's scores, decoded by Viterbi.

    constrained: forbid transitions that IOB2 does not allow, in training and in decoding.
    """

    gives = TokenHead.gives | {"crf"}
    asks = frozenset({"crf"})

    def __init__(self, encoder: Encoder, labels: LabelSet, constrained: bool = True):
        super().__init__(encoder, labels)
        allowed = labels.legal_transitions() if constrained else ()
        self.crf = CRF(len(labels), *allowed)

    def loss_arguments(
        self, emissions: Tensor, features: Tensor, gold: Gold, step: Gold
    ) -> dict[str, object]:
        return super().loss_arguments(emissions, features, gold, step) | {"crf": self.crf}

    def decode(self, emissions: Tensor, lengths: Tensor) -> Decoded:
        return Decoded(self.crf.decode(emissions, lengths))

    def probabilities(self, emissions: Tensor, lengths: Tensor, temperature: float = 1.0) -> Tensor:
        return self.crf.marginals(emissions, lengths, temperature)[None]
