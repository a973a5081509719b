"""A small BERT with random weights, and a vocabulary of the training words."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

from nersweep.data.corpus import Corpus
from nersweep.faults import Fault, UserError
from nersweep.model.encoders.encoder import Encoder, label_names

SPECIALS = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
LONGEST_WORD = 1000  # characters; a longer one is unknown


@dataclass(frozen=True)
class Scratch:
    """A small BERT: `layers` of `hidden` units, `heads` attention heads, windows of max_length.

    Its vocabulary comes from the training words. pieces="words": every word that occurs min_count
    times, and single characters for the others ("Lo" is L ##o); pieces="characters": single
    characters only. Raises UserError if hidden is not a multiple of heads, or a size is below 1.
    """

    hidden: int
    layers: int
    heads: int
    dropout: float
    max_length: int
    min_count: int
    pieces: Literal["words", "characters"]

    def __post_init__(self) -> None:
        for name in ("hidden", "layers", "heads", "min_count"):
            if getattr(self, name) < 1:
                raise UserError(Fault(name, getattr(self, name), "must be ≥ 1"))
        if self.hidden % self.heads:
            must = f"must be a multiple of heads={self.heads}"
            raise UserError(Fault("hidden", self.hidden, must))
        if not 0 <= self.dropout < 1:
            raise UserError(Fault("dropout", self.dropout, "must be in [0, 1)"))
        if self.max_length < 8:
            raise UserError(Fault("max_length", self.max_length, "must be ≥ 8 pieces"))

    def identity(self) -> str:
        """Return what fixes weights and pieces, beside the settings and the training words."""
        return "scratch"

    def build(self, outputs: Sequence[str], corpus: Corpus) -> Encoder:
        """Return an encoder whose classifier has these outputs."""
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
        """Return the tokenizer, with pieces in the order of their counts, then their spelling."""
        counts = Counter(word for sentence in corpus.train for word in sentence.words)
        characters = sorted(set("".join(counts)))
        vocabulary = [*SPECIALS.values(), *characters]
        for character in characters:
            vocabulary.append(f"##{character}")
        if self.pieces == "words":
            for word in sorted(counts, key=lambda word: (-counts[word], word)):
                if len(word) > 1 and counts[word] >= self.min_count:
                    vocabulary.append(word)
        # A word may be spelled like another piece: ##a, [SEP].
        ids = {piece: i for i, piece in enumerate(dict.fromkeys(vocabulary))}
        backend = Tokenizer(
            models.WordPiece(
                ids, unk_token=SPECIALS["unk_token"], max_input_chars_per_word=LONGEST_WORD
            )
        )
        backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        backend.decoder = decoders.WordPiece()
        backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        return PreTrainedTokenizerFast(
            tokenizer_object=backend, model_max_length=self.max_length, **SPECIALS
        )
