"""An English-like generated corpus: the default data, and a laboratory with tunable imbalance."""

import math
from dataclasses import dataclass

from nersweep.data.author import Author, Names
from nersweep.data.corpus import Corpus
from nersweep.faults import Fault, UserError

TYPES = ("PER", "LOC", "ORG", "PRODUCT", "EVENT")  # from the most to the least frequent
SENTENCE_WORDS = 13.5  # on average, about


@dataclass(frozen=True, kw_only=True)
class Generated:
    """A corpus with five entity types, of `train`, `dev` and `test` sentences (≥ 1).

    Sentences have about 14 words. Most mentions, but not all, appear in a context that reveals
    their type.

    imbalance, ≥ 1: mentions of the most frequent type (PER) per mention of the least frequent
        (EVENT), in each split; the types between follow a geometric progression. Exact up to
        rounding; no type is ever absent from a split.
    o_share, .5 to .97: share of words tagged O, in each split.
    ambiguity, 0 to 1: share of mentions, in each split, whose surface form also occurs under
        another type (Jordan).
    unseen, 0 to 1: share of dev and of test mentions whose surface form is no entity of train. It
        cuts across ambiguity: the same share of the ambiguous mentions is unseen, and such a name
        changes type within its split. A seen mention keeps a type that its name has in train.
    label_noise, 0 up to 1, exclusive: share of train mentions with a corrupted label; half of these
        get another type, a quarter become O, a quarter lose or gain a word at one end. The words,
        dev and test stay as they are, and all other settings refer to the labels before the noise.
    seed, ≥ 0: the same seed gives the same corpus on every machine.

    Every setting is met by quota, not by chance, so that it can be measured in the corpus. Shares
    are of whole mentions. A split of a few sentences cannot meet all of them: it keeps a mention of
    every type and `o_share` (long sentences if that is high), and rounds the others.

    Raises UserError with all values outside these ranges.
    """

    imbalance: float
    o_share: float
    ambiguity: float
    unseen: float
    label_noise: float
    train: int
    dev: int
    test: int
    seed: int

    def __post_init__(self) -> None:
        share = "a share from 0 to 1"
        o_share = "a share from .5 to .97 (CoNLL-2003 has .83)"
        noise = "a share from 0 up to 1, exclusive (0 is clean)"
        sentences = "≥ 1 sentence"
        ranges = [
            ("imbalance", 1 <= self.imbalance < math.inf, "≥ 1 (1 is balanced)"),
            ("o_share", 0.5 <= self.o_share <= 0.97, o_share),
            ("ambiguity", 0 <= self.ambiguity <= 1, share),
            ("unseen", 0 <= self.unseen <= 1, share),
            ("label_noise", 0 <= self.label_noise < 1, noise),
            ("train", self.train >= 1, sentences),
            ("dev", self.dev >= 1, sentences),
            ("test", self.test >= 1, sentences),
            ("seed", self.seed >= 0, "≥ 0"),
        ]
        faults = []
        for name, holds, allowed in ranges:
            if not holds:
                faults.append(Fault(name, getattr(self, name), f"must be {allowed}"))
        if faults:
            raise UserError(*faults)

    def load(self) -> Corpus:
        author = Author(self.seed)
        train_names = author.names(self.types_of(self.train), self.ambiguity, unseen=1.0, seen={})
        train = author.sentences(train_names, self.train, self.o_share)
        dev_names = self.later_names(author, self.dev, train_names)
        dev = author.sentences(dev_names, self.dev, self.o_share)
        test_names = self.later_names(author, self.test, train_names)
        test = author.sentences(test_names, self.test, self.o_share)
        train = author.corrupted(train, self.label_noise, TYPES)
        return Corpus("generated", f"generated (seed {self.seed})", train, dev, test)

    def later_names(self, author: Author, sentences: int, train: Names) -> Names:
        """Return the names of dev or test, some of them those of train."""
        return author.names(self.types_of(sentences), self.ambiguity, self.unseen, train)

    def types_of(self, sentences: int) -> list[str]:
        """Return the type of each mention of a split, in blocks from the most frequent type on."""
        progression = [self.imbalance ** (-rank / (len(TYPES) - 1)) for rank in range(len(TYPES))]
        mention_words = 1 + 0.95 * (1 - self.ambiguity)  # ambiguous names are single words
        mentions = sentences * SENTENCE_WORDS * (1 - self.o_share) / mention_words
        types: list[str] = []
        for type_, weight in zip(TYPES, progression, strict=True):
            types += [type_] * max(1, round(mentions * weight / math.fsum(progression)))
        return types
