"""Causal language models as token classifiers."""

import json

import numpy as np
import pytest
import torch
from families import CORPUS, DECODERS, LABELS, SENTENCES, random_encoder, save_pretrained

from nersweep.batches.batch import Batch
from nersweep.batches.windows import tokenise
from nersweep.config.check import model_faults
from nersweep.faults import UserError
from nersweep.model.encoders.layers import chosen_layers
from nersweep.model.encoders.pretrained import Pretrained
from nersweep.model.packing import Layout

CPU = torch.device("cpu")
PACKED = DECODERS.keys() - {"gemma2"}  # which caps scores


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """folder(family): that of a causal language model, and its body."""
    saved = {}

    def save(family):
        if family not in saved:
            path = tmp_path_factory.mktemp(family)
            saved[family] = path, save_pretrained(path, family).base_model
        return saved[family]

    return save


@pytest.mark.parametrize("family", DECODERS)
def test_a_language_model_is_read_at_the_last_piece_of_each_word(family, folder):
    path, body = folder(family)
    encoder = Pretrained(str(path)).build(LABELS.names, CORPUS).on(CPU).eval()
    assert encoder.reading == (True, False) and encoder.packed == (family in PACKED)
    split = tokenise(
        SENTENCES, LABELS, encoder.tokenizer, encoder.max_length, reading=encoder.reading
    )
    expected = []
    for sentence in SENTENCES:
        before, after = encoder.tokenizer("a").input_ids[:1], encoder.tokenizer("a").input_ids[-1:]
        ids, last = list(before), []
        for word in sentence.words:
            ids += encoder.tokenizer(word, add_special_tokens=False).input_ids
            last.append(len(ids) - 1)
        with torch.inference_mode():
            states = body(torch.tensor([ids + after])).last_hidden_state[0]
        expected.append(states[last])
    with torch.inference_mode():  # packed windows have been compared with padded ones
        features = encoder.features(split.batch([0, 1, 2], encoder.packed))
        assert encoder.classify(features).shape == (9, len(LABELS))
    assert torch.allclose(features, torch.cat(expected), atol=1e-4)


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "gemma", "phi"])
def test_without_masks_a_decoder_is_transformers_bidirectional_form(family, folder):
    path, body = folder(family)
    encoder = Pretrained(str(path), attention="bidirectional").build(LABELS.names).on(CPU).eval()
    assert encoder.packed and encoder.reading == (True, True)
    ids = torch.arange(4, 24)[None] % len(encoder.tokenizer)
    body.config.is_causal = False
    body.set_attn_implementation("eager")
    with torch.inference_mode():
        expected = body(ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
        body.config.is_causal = True
        causal = body(ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
        batch = Batch(ids, torch.arange(20), np.array([20]), 20, packed=True)
        features = encoder.features(batch)
    assert torch.allclose(features, expected, atol=1e-4)
    assert not torch.allclose(features, causal, atol=1e-2)


def test_a_group_of_layers_sees_ahead_and_the_others_do_not(folder):
    path, _ = folder("mistral")
    encoder = Pretrained(str(path), attention=[1]).build(LABELS.names).on(CPU).eval()
    assert encoder.ahead == [1] and encoder.causal_calls() == [True, False]
    everything = Pretrained(str(path), attention=["0-1"]).build(LABELS.names).on(CPU)
    assert everything.causal_calls() == [False, False]
    causal = Pretrained(str(path), attention="causal").build(LABELS.names).on(CPU)
    assert causal.ahead == [] and causal.causal_calls() == [True, True]


def test_groups_are_layers_and_ranges():
    assert chosen_layers([3, "0-1", "5"]) == [0, 1, 3, 5]
    assert chosen_layers("causal") == [] and chosen_layers("bidirectional") is None
    for wrong in (["1-0"], ["a"], [-1], "both", ["0-99999"]):
        with pytest.raises(UserError, match=r"^attention="):
            chosen_layers(wrong)


def test_what_a_model_cannot_do_is_refused_before_its_weights_are_read(folder, tmp_path):
    path, _ = folder("llama")
    save_pretrained(tmp_path, "bert")
    wrong = {
        "model.attention=[2]": Pretrained(str(path), attention=[2]),
        "model.attention=bidirectional": Pretrained(str(tmp_path), attention="bidirectional"),
        "model.freeze=3": Pretrained(str(path), freeze=3),
        "model.lora.targets=[q_prj]": Pretrained(
            str(path), peft="lora", lora={"r": 4, "targets": ["q_prj"]}
        ),
    }
    for subject, pretrained in wrong.items():
        with pytest.raises(UserError) as error:
            pretrained.identity()
        assert str(error.value).startswith(subject) and "\n" not in str(error.value)


def test_masks_that_cannot_be_taken_off_are_refused(folder):
    path, _ = folder("gemma2")
    encoder = Pretrained(str(path), attention="bidirectional").build(LABELS.names)
    with pytest.raises(UserError, match=r"^model\.attention=\[0, 1\]: cannot be done with gemma2"):
        encoder.on(CPU)


def test_settings_that_cannot_hold_are_refused(assert_refused_as):
    train = {"precision": "bf16", "engine": {"packing": True}}
    base = {"model": {}, "train": train, "device": "cpu"}
    assert model_faults(base) == []
    (fault,) = model_faults(base | {"model": {"load": "4bit"}})
    assert str(fault).startswith("model.load=4bit: needs CUDA")
    (fault,) = model_faults(
        base | {"model": {"load": "bf16"}, "train": train | {"precision": "fp32"}}
    )
    assert str(fault).startswith("model.load=bf16: must be null where training is in fp32")
    (fault,) = model_faults(
        base | {"model": {"attention": [1]}, "train": train | {"engine": {"packing": False}}}
    )
    assert str(fault).startswith("model.attention=[1]: needs packed windows")
    assert_refused_as(lambda: Pretrained("x", freeze=-1), "freeze=-1")
    assert_refused_as(lambda: Pretrained("x", lora={"r": 8, "alpha": 64}), "lora.r=8")
    assert_refused_as(lambda: Pretrained("x", load="4bit", peft="lora"), "load=4bit")
    assert_refused_as(lambda: Pretrained("x", peft="lora", lora={"r": 0}), "lora.r=0")
    assert_refused_as(lambda: Pretrained("x", peft="lora", lora={"r": "a"}), "lora.r=a")
    assert_refused_as(lambda: Pretrained("x", peft="lora", lora={"rank": 4}), "lora.rank=4")


def test_what_a_configuration_says_of_attention_is_not_heeded(folder, tmp_path):
    save_pretrained(tmp_path, "llama")
    file = tmp_path / "config.json"
    values = json.loads(file.read_text())
    for name in ("attn_implementation", "_attn_implementation"):
        file.write_text(json.dumps(values | {name: "someone/kernel"}))
        encoder = Pretrained(str(tmp_path)).build(LABELS.names)
        assert encoder.model.config._attn_implementation in ("sdpa", "eager")
    file.write_text(json.dumps(values | {"quantization_config": {"quant_method": "gptq"}}))
    with pytest.raises(UserError, match=r"^model\.name=.* are quantised"):
        Pretrained(str(tmp_path)).build(LABELS.names)


def test_a_body_whose_weights_have_another_shape_is_refused(folder, tmp_path):
    save_pretrained(tmp_path, "llama")
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"intermediate_size": 24}))
    with pytest.raises(UserError, match=r"^model\.name=.* has the shape"):
        Pretrained(str(tmp_path)).build(LABELS.names)


def test_a_decoder_has_no_padding_piece_of_its_own(tmp_path):
    save_pretrained(tmp_path, "llama")
    tokenizer = random_encoder("llama").tokenizer
    tokenizer.pad_token, tokenizer.eos_token = None, "[SEP]"
    tokenizer.save_pretrained(tmp_path)
    encoder = Pretrained(str(tmp_path)).build(LABELS.names).on(CPU)
    assert encoder.tokenizer.pad_token_id == encoder.tokenizer.eos_token_id and encoder.packed


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma"])
def test_packing_is_checked_in_bf16_too(family, folder, monkeypatch):
    path, _ = folder(family)
    encoder = Pretrained(str(path), load="bf16").build(LABELS.names)
    assert encoder.model.dtype == torch.bfloat16 and encoder.packs()
    places = Layout.places
    monkeypatch.setattr(
        Layout, "places", lambda self, heads, *_: places(self, heads, None, False, torch.bfloat16)
    )
    assert not encoder.packs()
