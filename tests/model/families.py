"""Tiny random models of many families."""

from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForTokenClassification,
    logging,
)

from nersweep.data.corpus import Corpus, Sentence
from nersweep.labels import LabelSet
from nersweep.model.encoders.encoder import Encoder, label_names
from nersweep.model.encoders.scratch import Scratch

logging.set_verbosity_error()
LABELS = LabelSet(["LOC", "PER"])
WORDS = [("Ada", "lives", "in", "Pau", "."), ("Pau", "likes", "Lovelace"), ("rain",)]
TAGS = [("B-PER", "O", "O", "B-LOC", "O"), ("B-LOC", "O", "B-PER"), ("O",)]
SENTENCES = [Sentence(words, tags) for words, tags in zip(WORDS, TAGS, strict=True)]
CORPUS = Corpus("small", "here", SENTENCES, SENTENCES, SENTENCES)
SCRATCH = Scratch(
    hidden=16, layers=2, heads=2, dropout=0.0, max_length=512, min_count=9, pieces="characters"
)
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
    "initializer_range": 0.3,  # wide, so that attention is far from uniform
    "bos_token_id": 2,
    "eos_token_id": 3,
}
GROUPED = {"num_key_value_heads": 2, "head_dim": 4}
DECODERS = {
    "mistral": GROUPED | {"sliding_window": 4},
    "llama": {},
    "qwen2": {"num_key_value_heads": 2},
    "qwen3": GROUPED,
    "gemma": GROUPED,
    "gemma2": GROUPED | {"query_pre_attn_scalar": 4},
    "phi": {},
    "phi3": {"pad_token_id": 0},
    "gpt2": {"n_inner": 32},
    "olmo2": {"pad_token_id": 0},  # transformers has no token classifier of it
}
LETTERS = {"pad_token_id": 1}
POSITIONED = {  # families with a table of positions, and how many of its rows are not for pieces
    "bert": ({}, 0),
    "electra": ({"embedding_size": 8}, 0),
    "distilbert": ({"dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 32}, 0),
    "deberta-v2": ({}, 0),
    "roberta": (LETTERS, 2),
    "xlm-roberta": (LETTERS, 2),
    "camembert": (LETTERS, 2),
    "roberta-prelayernorm": (LETTERS, 2),
    "mpnet": ({}, 2),
    "ibert": (LETTERS, 2),
    "data2vec-text": (LETTERS, 2),
    "xmod": (LETTERS | {"languages": ["en_XX"], "default_language": "en_XX"}, 2),
    "esm": (LETTERS | {"mask_token_id": 3, "position_embedding_type": "absolute"}, 2),
    "luke": (LETTERS | {"entity_vocab_size": 8}, 2),
    "gpt2": (DECODERS["gpt2"], 0),
    "biogpt": ({}, 0),
}


def config_of(family: str, **settings: object) -> AutoConfig:
    """Return a configuration whose vocabulary is that of the tokenizer."""
    size = len(SCRATCH.tokenizer(CORPUS))
    return AutoConfig.for_model(family, vocab_size=size, **SIZES | settings)


def random_encoder(family: str, **settings: object) -> Encoder:
    """Return an encoder with random weights, the same each time."""
    config = config_of(family, **settings)
    config.update(label_names(LABELS.names))
    tokenizer = SCRATCH.tokenizer(CORPUS)
    if settings.get("pad_token_id"):
        tokenizer.pad_token_id = settings["pad_token_id"]
    torch.manual_seed(1)
    return Encoder(AutoModelForTokenClassification.from_config(config), tokenizer).eval()


def save_pretrained(folder: Path, family: str, **settings: object) -> torch.nn.Module:
    """Write a folder as the hub has it: a language model, or a body, with a tokenizer."""
    torch.manual_seed(1)
    config = config_of(family, **DECODERS.get(family, {}) | settings)
    kind = AutoModelForCausalLM if family in DECODERS else AutoModel
    model = kind.from_config(config).eval()
    model.save_pretrained(folder)
    SCRATCH.tokenizer(CORPUS).save_pretrained(folder)
    return model
