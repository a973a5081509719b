"""What a model does with positions and later pieces is found by running it."""

import numpy as np
import pytest
import torch
from families import CORPUS, DECODERS, LABELS, POSITIONED, SCRATCH, random_encoder

from nersweep.batches.windows import tokenise
from nersweep.data.corpus import Sentence
from nersweep.faults import UserError
from nersweep.model.encoders.encoder import Encoder

LONG = [Sentence(("Ada", "Pau", "likes") * 200, ("O",) * 600)]  # 600 words, 2,200 pieces


def run(encoder: Encoder, length: int) -> torch.Tensor:
    ids = torch.full((1, length), 4)
    with torch.inference_mode():
        return encoder.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


@pytest.mark.parametrize("family", POSITIONED)
def test_windows_have_as_many_pieces_as_fit_and_no_more(family):
    settings, unused = POSITIONED[family]
    encoder = random_encoder(family, **settings)
    assert encoder.max_length == 40 - unused
    assert run(encoder, encoder.max_length).isfinite().all()
    with pytest.raises((IndexError, RuntimeError)):
        run(encoder, encoder.max_length + 1)
    split = tokenise(LONG, LABELS, encoder.tokenizer, encoder.max_length, reading=encoder.reading)
    assert np.diff(split.window_starts).max() == encoder.max_length
    with torch.inference_mode():
        features = encoder.features(split.batch([0], packed=False))
    assert features.shape == (600, 16) and features.isfinite().all()


@pytest.mark.parametrize("family", POSITIONED)
def test_positions_given_from_the_first_on_are_those_of_the_model(family):
    encoder = random_encoder(family, **POSITIONED[family][0])
    ids = torch.arange(4, 12)[None]
    first = encoder.behaviour.first_position
    with torch.inference_mode():
        own = encoder.model.base_model(input_ids=ids).last_hidden_state
        try:
            given = encoder.model.base_model(
                input_ids=ids, position_ids=torch.arange(first, first + 8)[None]
            ).last_hidden_state
        except TypeError:
            pytest.skip("takes no positions")
    assert torch.allclose(own, given, atol=1e-6)


def test_decoders_see_no_later_pieces_and_encoders_do():
    for family, settings in DECODERS.items():
        if family != "olmo2":
            assert random_encoder(family, **settings).behaviour.causal, family
    for family in ("bert", "xlm-roberta", "deberta-v2", "mpnet"):
        assert not random_encoder(family, **POSITIONED[family][0]).behaviour.causal, family


def test_a_model_of_too_few_positions_is_refused():
    with pytest.raises(UserError, match=r"^model\.name"):
        random_encoder("roberta", max_position_embeddings=9, pad_token_id=1)
    encoder = random_encoder("bert", max_position_embeddings=8)
    assert encoder.max_length == 8


def test_a_tokenizer_that_takes_too_few_pieces_is_refused():
    encoder = random_encoder("bert")
    tokenizer = SCRATCH.tokenizer(CORPUS)
    tokenizer.model_max_length = 2
    with pytest.raises(UserError, match=r"^model\.name=bert: takes 2 pieces"):
        Encoder(encoder.model, tokenizer)
