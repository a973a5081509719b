"""Adapters: they alone are trained, and what is saved predicts what was scored."""

import copy
import json
from pathlib import Path

import pytest
import torch
from families import LABELS, SENTENCES, WORDS, save_pretrained
from safetensors.torch import load_file, save_file

from nersweep.batches.windows import tokenise
from nersweep.config.build import build
from nersweep.config.schema import TrainConfig
from nersweep.deployment.export import write_folder
from nersweep.deployment.models import ChosenModel
from nersweep.faults import UserError
from nersweep.losses import CrossEntropyLoss
from nersweep.model import saved
from nersweep.model.encoders import adapters
from nersweep.model.encoders.encoder import label_names
from nersweep.model.encoders.pretrained import Pretrained
from nersweep.model.tagger import Tagger, predict
from nersweep.training.loop import fit
from nersweep.training.optimiser import load_trained

peft = pytest.importorskip("peft", reason="the extra peft is not installed")
CPU = torch.device("cpu")
CONFIG = TrainConfig(epochs=1, batch_size=2, lr=3e-2, warmup=0.0, precision="fp32")
HEAD = {"_target_": "nersweep.model.heads.token.TokenHead", "decode": "argmax"}
LORA = {"r": 4, "alpha": 8, "dropout": 0.0}


def fitted(pretrained, dtype=torch.float32):
    """Return a tagger trained for two steps, its split, and its body before."""
    torch.manual_seed(2)
    recipe = build("head", HEAD, HEAD)
    encoder = pretrained.build(LABELS.names).on(CPU, dtype)
    before = copy.deepcopy(encoder.model.state_dict())
    split = tokenise(
        SENTENCES, LABELS, encoder.tokenizer, encoder.max_length, reading=encoder.reading
    )
    tagger = Tagger(encoder, recipe.make(encoder=encoder, labels=LABELS), CrossEntropyLoss())
    history = fit(tagger, split, split, LABELS, CONFIG, 1, CPU, lambda _: None)
    return tagger, split, before, history


def save(folder, tagger, history, dtype=torch.float32):
    """Write the tagger as a run does."""
    tagger.encoder.widen()
    load_trained(tagger, history.weights)
    saved.save(folder, tagger, build("head", HEAD, HEAD), LABELS, dtype, {}, 1.0)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """base(family): the folder of a pretrained model."""
    folders = {}

    def folder(family):
        if family not in folders:
            folders[family] = tmp_path_factory.mktemp(family)
            save_pretrained(folders[family], family)
        return str(folders[family])

    return folder


@pytest.mark.parametrize("family", ["bert", "llama", "gpt2"])
def test_only_the_adapter_and_the_classifier_move(family, base):
    pretrained = Pretrained(base(family), peft="lora", lora=LORA)
    tagger, _, before, history = fitted(pretrained)
    for name, value in tagger.encoder.model.state_dict().items():
        above = name.startswith(("classifier", "score"))
        assert torch.equal(value, before[name]) != (above or "lora_" in name), name
    assert len(history.weights) == len(adapters.file_parameters(tagger.encoder.model))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "settings", [{}, {"attention": [1]}, {"freeze": 1}, {"load": "bf16"}], ids=str
)
def test_a_saved_adapter_predicts_what_was_scored(settings, dtype, base, tmp_path):
    pretrained = Pretrained(base("llama"), peft="lora", lora=LORA, **settings)
    tagger, split, _, history = fitted(pretrained, dtype)
    scored = predict(tagger, split, CPU)
    save(tmp_path, tagger, history, dtype)
    assert not (tmp_path / "model.safetensors").exists()
    again = saved.SavedTagger(tmp_path)
    assert torch.equal(
        torch.from_numpy(predict(again.tagger, again.tokenise(WORDS), CPU).emissions),
        torch.from_numpy(scored.emissions),
    )
    assert again.tagger.encoder.ahead == settings.get("attention", [])


def test_peft_loads_a_saved_adapter(base, tmp_path):
    from transformers import LlamaForTokenClassification

    tagger, _, _, history = fitted(Pretrained(base("llama"), peft="lora", lora=LORA))
    save(tmp_path, tagger, history)
    whole = LlamaForTokenClassification.from_pretrained(base("llama"), **label_names(LABELS.names))
    theirs = peft.PeftModel.from_pretrained(whole, tmp_path).eval()
    ids = torch.arange(4, 14)[None]
    model = tagger.encoder.model.eval()
    model.set_attn_implementation("eager")
    assert torch.allclose(theirs(ids).logits, model(ids).logits, atol=1e-5)


def test_a_merged_adapter_is_a_whole_model_with_its_scores(base, tmp_path):
    pretrained = Pretrained(base("llama"), peft="lora", lora=LORA | {"merge": True})
    tagger, split, _, history = fitted(pretrained)
    scored = predict(tagger, split, CPU)
    save(tmp_path, tagger, history)
    assert (tmp_path / "model.safetensors").exists() and not (tmp_path / adapters.WEIGHTS).exists()
    again = saved.SavedTagger(tmp_path)
    emissions = predict(again.tagger, again.tokenise(WORDS), CPU).emissions
    assert emissions == pytest.approx(scored.emissions, abs=1e-4)
    assert again.tagger.encoder.reading.last


def test_an_adapter_of_other_weights_or_of_another_form_is_refused(base, tmp_path):
    tagger, _, _, history = fitted(Pretrained(base("llama"), peft="lora", lora=LORA))
    save(tmp_path, tagger, history)
    facts = json.loads((tmp_path / saved.HEAD).read_text())
    wrong = {
        "no longer the model": facts["adapter"] | {"identity": "x"},
        "another shape": facts["adapter"] | {"lora": facts["adapter"]["lora"] | {"r": 3}},
        "does not fit its settings": facts["adapter"]
        | {"lora": facts["adapter"]["lora"] | {"targets": ["q_proj"]}},
        "lora.r": facts["adapter"] | {"lora": {"r": 10**9}},
        "is missing": facts["adapter"] | {"base": facts["adapter"]["base"] | {"name": "./gone"}},
    }
    for message, adapter in wrong.items():
        (tmp_path / saved.HEAD).write_text(json.dumps(facts | {"adapter": adapter}))
        with pytest.raises(UserError) as error:
            saved.SavedTagger(tmp_path)
        assert message in str(error.value) and "\n" not in str(error.value)
    (tmp_path / saved.HEAD).write_text(json.dumps(facts))
    weights = load_file(tmp_path / adapters.WEIGHTS)
    save_file({**weights, "more": torch.ones(1)}, tmp_path / adapters.WEIGHTS)
    with pytest.raises(UserError, match="does not fit its settings: more"):
        saved.SavedTagger(tmp_path)
    with pytest.raises(UserError, match=r"^model\.name=.*: holds an adapter"):
        Pretrained(str(tmp_path)).identity()


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA does it")
def test_an_adapter_of_4_bits_is_refused_without_a_gpu(tmp_path):
    with pytest.raises(UserError) as error:
        saved.refuse_base(tmp_path, "x", "abc", "4bit")
    assert "needs CUDA" in str(error.value) and "model.load=bf16" not in str(error.value)


def test_an_export_names_a_local_base_without_its_path_and_loads_beside_it(
    base, tmp_path, monkeypatch
):
    place = Path(base("llama"))
    tagger, _, _, history = fitted(Pretrained(str(place), peft="lora", lora=LORA))
    save(tmp_path / "model", tagger, history)
    exported = tmp_path / "exported"
    write_folder(exported, ChosenModel(tmp_path / "model"), card="", with_onnx=False)
    for file in exported.glob("*.json"):
        assert str(place.parent) not in file.read_text(), file
    assert peft.PeftConfig.from_pretrained(exported).base_model_name_or_path == f"./{place.name}"
    monkeypatch.chdir(place.parent)
    expected = saved.SavedTagger(tmp_path / "model").tag(WORDS)
    assert saved.SavedTagger(exported).tag(WORDS) == expected


def test_the_layers_of_an_adapter_are_those_that_are_named(base):
    encoder = Pretrained(base("llama"), peft="lora", lora=LORA | {"targets": ["q_proj"]}).build(
        LABELS.names
    )
    adapted = [name for name in adapters.file_parameters(encoder.model) if "lora_A" in name]
    assert [name.split(".")[-3] for name in adapted] == ["q_proj"] * 2
