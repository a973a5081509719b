"""The train loop: what must not change the result does not, and the best epoch is what is left."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nersweep.batches.windows import tokenise
from nersweep.config.schema import TrainConfig
from nersweep.data.corpus import Corpus, Sentence
from nersweep.evaluation.metric import F1, metric_of
from nersweep.evaluation.metrics import entities, score
from nersweep.labels import LabelSet
from nersweep.losses import (
    BatchBalancedFocalLoss,
    CompoundLoss,
    CrossEntropyLoss,
    DiceLoss,
    FocalLoss,
)
from nersweep.model.encoders.scratch import Scratch
from nersweep.model.heads.span import SpanHead
from nersweep.model.heads.token import TokenHead
from nersweep.model.tagger import Tagger, predict
from nersweep.training.history import EpochRecord, StepRecord
from nersweep.training.loop import fit
from nersweep.training.observers import Diverged

LABELS = LabelSet(["LOC", "PER"])
CPU = torch.device("cpu")
CONFIG = TrainConfig(epochs=3, batch_size=8, lr=3e-3, precision="fp32")


def corpus(sentences: int = 48, doubt: float = 0.0) -> Corpus:
    """Sentences of words with one tag each; the share `doubt` of the tags is drawn at random."""
    rng = np.random.default_rng(1)
    words = {
        "Ada": "B-PER",
        "Kim": "B-PER",
        "Pau": "B-LOC",
        "Lyon": "B-LOC",
        "the": "O",
        "in": "O",
        "saw": "O",
    }
    chosen = [rng.choice(list(words), size=rng.integers(2, 8)).tolist() for _ in range(sentences)]
    tags = [
        [str(rng.choice(LABELS.names)) if rng.random() < doubt else words[word] for word in x]
        for x in chosen
    ]
    all_sentences = [Sentence(tuple(x), tuple(t)) for x, t in zip(chosen, tags, strict=True)]
    return Corpus(
        "names",
        "here",
        all_sentences[: sentences // 2],
        all_sentences[sentences // 2 :],
        all_sentences[sentences // 2 :],
    )


NAMES = corpus()


def train(
    config=CONFIG, loss=None, seed=1, dropout=0.0, data=NAMES, head=TokenHead, hidden=32, metric=F1
):
    torch.manual_seed(seed)
    scratch = Scratch(
        hidden, layers=1, heads=2, dropout=dropout, max_length=32, min_count=1, pieces="words"
    )
    encoder = scratch.build(head.outputs(LABELS), NAMES)
    encoder.on(CPU, {"fp32": torch.float32, "bf16": torch.bfloat16}[config.precision])
    tagger = Tagger(encoder, head(encoder, LABELS), loss or CrossEntropyLoss())
    splits = {
        name: tokenise(s, LABELS, encoder.tokenizer, encoder.max_length)
        for name, s in data.splits().items()
    }
    records = []
    splits_and_more = splits["train"], splits["dev"], LABELS, config, seed, CPU
    fitted = fit(tagger, *splits_and_more, records.append, metric=metric)
    assert [r for r in records if isinstance(r, StepRecord)] == fitted.steps and [
        r for r in records if isinstance(r, EpochRecord)
    ] == fitted.epochs
    return tagger, splits, fitted


def losses(fitted):
    return [step.loss for step in fitted.steps]


def test_it_learns_what_can_be_learned():
    _, _, fitted = train(replace(CONFIG, epochs=20))
    assert fitted.best.dev.f1 > 0.95


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others():
    once, again, other = (train(seed=seed, dropout=0.2)[2] for seed in (1, 1, 2))
    assert once.steps == again.steps and once.best == again.best
    assert once.steps != other.steps


@pytest.mark.long  # 6 s, as only large layers run in two threads
def test_two_threads_learn_what_one_learns():
    # They add up in another order: the same seed gives the same numbers up to rounding.
    before, fits = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            fits.append(
                train(replace(CONFIG, batch_size=24), data=corpus(400, doubt=0.2), hidden=128)[2]
            )
    finally:
        torch.set_num_threads(before)
    one, two = fits
    assert len(one.steps) == 27 and losses(two) == pytest.approx(losses(one), rel=1e-4)
    assert 0.3 < one.best.dev.f1 < 0.9 and two.best.dev.f1 == pytest.approx(
        one.best.dev.f1, abs=0.01
    )


WEIGHT = torch.tensor([0.1, 1.0, 2.0, 3.0, 1.0])


@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize(
    "make",
    [
        lambda: FocalLoss(2.0, weight=WEIGHT),
        lambda: BatchBalancedFocalLoss(2.0, beta=0.9),
        lambda: DiceLoss(),  # cannot be split, and sees the step as a whole
        lambda: CompoundLoss({"focal": FocalLoss(2.0, weight=WEIGHT), "dice": DiceLoss()}),
    ],
    ids=["focal", "batch_balanced", "dice", "compound"],
)
def test_accumulation_changes_nothing(make, parts):
    whole = train(replace(CONFIG, accumulation=1), loss=make())[2]
    split = train(replace(CONFIG, accumulation=parts), loss=make())[2]
    assert losses(split) == pytest.approx(losses(whole), rel=1e-4)


def test_the_terms_of_a_compound_loss_are_told_apart_and_add_up():
    loss = CompoundLoss({"focal": FocalLoss(2.0), "dice": DiceLoss()}, {"focal": 0.5, "dice": 2.0})
    steps = train(loss=loss)[2].steps
    assert all(
        step.loss == pytest.approx(0.5 * step.terms["focal"] + 2 * step.terms["dice"])
        for step in steps
    )
    assert all(step.terms is None for step in train()[2].steps)


def test_entity_balanced_sampling_leaves_fewer_steps_without_a_type():
    rare = [Sentence(("the", "in"), ("O", "O"))] * 60 + [
        Sentence(("Ada", "saw"), ("B-PER", "O"))
    ] * 4
    data = Corpus("rare", "here", rare, rare[-8:], rare[-8:])
    absent = {}
    for sampler in ("random", "entity_balanced"):
        fitted = train(replace(CONFIG, epochs=8, batch_size=4, sampler=sampler), data=data)[2]
        absent[sampler] = np.mean([epoch.absent["PER"] for epoch in fitted.epochs])
        assert all(epoch.absent["LOC"] == 1 for epoch in fitted.epochs)
    assert absent["entity_balanced"] < absent["random"] - 0.1


def test_the_learning_rate_rises_and_falls_to_nothing():
    rates = [step.lr for step in train(replace(CONFIG, epochs=4, warmup=0.25))[2].steps]
    assert len(rates) == 12
    assert rates == pytest.approx(
        [CONFIG.lr * x for x in (1 / 4, 2 / 4, 3 / 4, *(k / 9 for k in range(9, 0, -1)))]
    )


def test_the_tagger_is_left_with_its_best_epoch():
    # With half of the tags random the score falls once these are learned by heart.
    tagger, splits, fitted = train(replace(CONFIG, epochs=40, lr=0.01), data=corpus(doubt=0.5))
    f1 = [epoch.dev.f1 for epoch in fitted.epochs]
    assert fitted.best_epoch == 1 + int(np.argmax(f1)) and fitted.best.dev.f1 == max(f1)
    assert f1[-1] < max(f1), "the last epoch is the best: this test shows nothing"
    dev = splits["dev"]
    predictions = predict(tagger, dev, CPU)
    assert (predictions.labels == fitted.dev_predictions.labels).all()
    assert score(dev.labels, predictions.labels, dev.lengths(), LABELS).f1 == max(f1)


def test_the_metric_picks_the_best_epoch_and_counts_for_patience():
    config, noisy = replace(CONFIG, epochs=40, lr=0.01), corpus(doubt=0.5)
    recall = metric_of("PER/recall", LABELS.types)
    _, _, by_f1 = train(config, data=noisy)
    _, _, fitted = train(config, data=noisy, metric=recall)
    values = [epoch.dev.types["PER"].recall for epoch in fitted.epochs]
    assert fitted.best_epoch == 1 + int(np.argmax(values)) != by_f1.best_epoch
    assert [epoch.dev for epoch in fitted.epochs] == [epoch.dev for epoch in by_f1.epochs]
    _, _, stopped = train(replace(config, patience=2), data=noisy, metric=recall)
    assert len(stopped.epochs) == stopped.best_epoch + 2
    assert max(values[: len(stopped.epochs)]) == values[stopped.best_epoch - 1]


def test_spans_that_overlap_are_scored_as_they_are():
    # Barely trained, it points anywhere.
    _, splits, fitted = train(
        replace(CONFIG, epochs=1, lr=1e-3), data=corpus(doubt=0.9), head=SpanHead
    )
    dev, labels, spans = splits["dev"], fitted.dev_predictions.labels, fitted.dev_predictions.spans
    assert len(spans) > len(entities(labels, dev.lengths(), LABELS)), (
        "no overlap: this test shows nothing"
    )
    gold = {tuple(row) for row in entities(dev.labels, dev.lengths(), LABELS).tolist()}
    right = sum(tuple(row) in gold for row in spans.tolist())
    assert right > 0 and fitted.best.dev.precision == pytest.approx(right / len(spans))


def test_patience_stops_a_run_that_no_longer_improves():
    _, _, fitted = train(replace(CONFIG, epochs=60, patience=2))
    assert len(fitted.epochs) < 60 and len(fitted.epochs) == fitted.best_epoch + 2


def test_a_loss_that_is_no_number_ends_the_run_and_says_where():
    with pytest.raises(
        Diverged,
        match=r"the loss is nan and its .* at step \d+ with learning rate .* last good loss: \d",
    ):
        train(replace(CONFIG, lr=1e30, warmup=0.0, max_grad_norm=1e30))


def test_weights_that_the_last_step_made_no_numbers_end_the_run():
    with pytest.raises(Diverged, match=r"scores of dev are no numbers after step 1"):
        train(replace(CONFIG, epochs=1, batch_size=10**6, lr=1e38, warmup=0.0))


def test_gradients_are_clipped():
    # AdamW's first step is lr whatever the gradient's size; a tiny norm shows from the second on.
    clipped = train(replace(CONFIG, max_grad_norm=1e-12))[2]
    assert losses(clipped)[-1] > losses(train()[2])[-1] + 0.1


def test_bf16_learns_like_fp32():
    _, _, fitted = train(replace(CONFIG, epochs=20, precision="bf16"))
    assert fitted.best.dev.f1 > 0.95
