"""A plan gives the loss its facts of the data; the fingerprint covers all that counts."""

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch

from nersweep.config import schema as sections
from nersweep.config.check import check_overrides
from nersweep.config.compose import Composer
from nersweep.data.corpus import Corpus, Sentence, corpora
from nersweep.labels import LabelSet
from nersweep.losses import FocalLoss
from nersweep.model.encoders.scratch import Scratch
from nersweep.model.heads.crf import CRFHead
from nersweep.model.heads.span import SpanHead
from nersweep.model.heads.token import TokenHead
from nersweep.model.tagger import Tagger
from nersweep.run import identity, plan
from nersweep.training.loop import parameter_groups

SMALL = ["model.hidden=16", "model.layers=1"]
FEW = ["data.train=60", "data.dev=20", "data.test=20"]


def planned(*overrides, data=FEW):
    sections.register()
    return plan.make(check_overrides(Composer(), [*SMALL, *data, *overrides]))


@pytest.mark.parametrize("head", ["token", "span"])
@pytest.mark.parametrize(
    "overrides",
    ["loss=focal weights=inverse", "loss=weighted_cross_entropy", "loss=class_balanced"],
)
def test_class_weights_reach_the_loss(overrides, head):
    prepared = planned(f"head={head}", *overrides.split())
    assert prepared.facts.weights.std() > 0.01
    assert prepared.loss.weight.tolist() == pytest.approx(prepared.facts.weights)
    assert len(prepared.facts.classes) == len(prepared.facts.counts) == len(prepared.loss.weight)


def test_class_weights_reach_the_terms_of_a_compound_loss():
    prepared = planned("loss=boundary", "weights=inverse")
    assert prepared.loss.parts["cross_entropy"].weight.tolist() == pytest.approx(
        prepared.facts.weights
    )


def test_alpha_is_a_weight_for_each_label():
    prepared = planned("loss=focal", "focal_alpha={O: 0.25, B-PER: 3}")
    expected = [{"O": 0.25, "B-PER": 3}.get(name, 1) for name in prepared.facts.classes]
    assert prepared.loss.weight.tolist() == expected == prepared.facts.weights.tolist()


def test_without_weights_the_loss_has_none():
    assert planned().loss.weight is None


def test_training_counts_reach_the_prior():
    prepared = planned("loss=logit_adjusted", "logit_adjusted_tau=1")
    logits = torch.zeros(1, len(prepared.facts.classes))
    prior = prepared.facts.counts / prepared.facts.counts.sum()
    for label in (0, 3):  # at equal logits, -log of the prior
        assert prepared.loss(logits, torch.tensor([label])).item() == pytest.approx(
            -np.log(prior[label]), rel=1e-5
        )


def test_counts_are_of_the_classes_the_loss_sees():
    words, entities = planned("head=token").facts, planned("head=span").facts
    labels = dict(zip(words.classes, words.counts.tolist(), strict=True))
    types = dict(zip(entities.classes, entities.counts.tolist(), strict=True))
    assert types.keys() == {"O", *words.labels.types} and sum(types.values()) == sum(
        labels.values()
    )
    assert all(types[name] == labels[f"B-{name}"] for name in words.labels.types)


def test_a_span_head_counts_entities_within_others():
    nested = ((0, 3, "ORG"), (1, 2, "LOC"), (2, 3, "LOC"))
    sentence = Sentence(("a", "b", "c"), ("B-ORG", "I-ORG", "I-ORG"), entities=nested)
    flat = Sentence(("d", "e"), ("B-LOC", "O"))
    corpus = Corpus("nested", "here", [sentence, flat], [flat], [flat])
    # Classes are O, LOC and ORG; starts at a, b, c and d.
    assert plan.class_counts(corpus, SpanHead).tolist() == [1, 3, 1]
    assert plan.class_counts(corpus, TokenHead).tolist() == [1, 1, 0, 1, 2]  # O, B- and I- of each


def test_the_data_are_counted_once_for_all_runs(monkeypatch):
    corpora.clear()
    counted = []
    encode = LabelSet.encode
    monkeypatch.setattr(LabelSet, "encode", lambda *a: counted.append(1) or encode(*a))
    for loss in ("cross_entropy", "focal", "crf"):
        assert planned(f"loss={loss}").facts.counts.sum() > 0
    assert len(counted) == 60  # the sentences of the training split


def test_the_fingerprint_covers_what_can_change_a_result(tmp_path):
    # The same words and tags, and a column of another name.
    for split in ("train", "dev", "test"):
        (tmp_path / split).write_text("Ada X B-PER\nsaw Y O\nPau X B-LOC\n\n" * 4)
    files = [
        "data=conll",
        *(f"data.{split}={tmp_path / split}" for split in ("train", "dev", "test")),
    ]
    settings = [
        ["data.columns=[word,pos,tag]"],
        ["data.columns=[word,chunk,tag]"],
        ["data.columns=[word,pos,tag]", "aux=pos"],
        ["data.columns=[word,pos,tag]", "aux=pos", "aux_weight=0.5"],
        ["data.columns=[word,pos,tag]", "aux=pos", "train.head_lr=0.1"],
        ["data.columns=[word,pos,tag]", "head.decode=viterbi"],
        ["data.columns=[word,pos,tag]", "head=span"],
        ["data.columns=[word,pos,tag]", "loss=crf"],
        ["data.columns=[word,pos,tag]", "loss=crf", "head.constrained=false"],
        ["data.columns=[word,pos,tag]", "loss=focal"],
        ["data.columns=[word,pos,tag]", "loss=focal", "focal_alpha={O: 0.5}"],
        ["data.columns=[word,pos,tag]", "train.sampler=entity_balanced"],
    ]
    assert len({planned(*overrides, data=files).fingerprint for overrides in settings}) == len(
        settings
    )


def test_where_and_when_a_run_happens_is_not_part_of_its_identity(tmp_path):
    """Nor where its data lies."""
    files = {}
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        for split in ("train", "dev", "test"):
            (tmp_path / place / split).write_text("Ada B-PER\nsaw O\nPau B-LOC\n\n" * 4)
        files[place] = [
            "data=conll",
            *(f"data.{split}={tmp_path / place / split}" for split in ("train", "dev", "test")),
        ]
    first = planned(data=files["a"])
    elsewhere = ["device=cpu", f"output_dir={tmp_path}", "rerun=true", "on_failure=stop"]
    elsewhere += [
        "train.checkpoint_minutes=1",
        "train.auto_batch=true",
        "tracking.experiment=x",
        "study.trials=3",
    ]
    for setting in elsewhere:
        assert planned(setting, data=files["a"]).fingerprint == first.fingerprint, setting
    again = planned(*elsewhere, data=files["b"])
    assert (again.name, again.fingerprint) == (first.name, first.fingerprint)
    for setting in ("train.lr=0.1", "seed=2", "model.layers=2", "metric=f2"):
        assert planned(setting, data=files["a"]).fingerprint != first.fingerprint, setting


def test_parameters_outside_the_encoder_have_their_own_learning_rate():
    prepared = planned("loss=crf", "train.lr=1e-4", "train.head_lr=1e-2", "train.weight_decay=0.1")
    labels = prepared.facts.labels
    scratch = Scratch(
        hidden=8, layers=1, heads=2, dropout=0.0, max_length=16, min_count=1, pieces="words"
    )
    encoder = scratch.build(labels.names, prepared.facts.corpus)
    head = prepared.head.make(encoder=encoder, labels=labels)
    tagger = Tagger(encoder, head, prepared.loss)
    rate = {
        p: (g["lr"], g["weight_decay"])
        for g in parameter_groups(tagger, prepared.train)
        for p in g["params"]
    }
    assert len(rate) == len(list(tagger.parameters()))
    assert rate[head.crf.transitions] == (1e-2, 0.1) and rate[head.crf.start] == (1e-2, 0.0)
    assert rate[encoder.model.classifier.weight] == (1e-4, 0.1) and rate[
        encoder.model.classifier.bias
    ] == (1e-4, 0.0)


def test_the_formula_of_a_loss_is_a_part_of_its_run(tmp_path, monkeypatch):
    first = planned("loss=focal").fingerprint
    edited = tmp_path / "focal.py"
    edited.write_text(
        Path(inspect.getfile(FocalLoss)).read_text("utf-8") + "# another formula\n", "utf-8"
    )
    identity.source.cache_clear()
    monkeypatch.setattr(
        inspect,
        "getfile",
        lambda part, of=inspect.getfile: edited if part is FocalLoss else of(part),
    )
    assert planned("loss=focal").fingerprint != first
    identity.source.cache_clear()


def test_the_source_of_a_head_includes_its_base_classes(monkeypatch):
    read, files = Path.read_bytes, []
    monkeypatch.setattr(Path, "read_bytes", lambda path: files.append(path.name) or read(path))
    identity.source.__wrapped__(CRFHead)
    assert files == ["crf.py", "token.py", "base.py"]


def test_a_password_of_the_tracker_is_not_written():
    config = str(planned("tracking.uri=postgresql://me:s3cret@db/runs").config)
    assert "s3cret" not in config and "me:***@db/runs" in config
