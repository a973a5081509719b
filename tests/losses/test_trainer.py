"""A token loss in the Hugging Face Trainer: gradient accumulation changes nothing."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForTokenClassification, Trainer, TrainingArguments
from transformers.modeling_outputs import TokenClassifierOutput

from nersweep.losses import (
    BatchBalancedFocalLoss,
    CompoundLoss,
    CrossEntropyLoss,
    DiceLoss,
    EmbeddingSmoothingLoss,
    FocalLoss,
    GHMCLoss,
    LabelSmoothingLoss,
    LogitAdjustedLoss,
    TrainerLoss,
)
from nersweep.losses.base import Loss

WEIGHT = torch.tensor([0.2, 1.0, 2.5, 1.3])
LOSSES = {
    "focal": FocalLoss(),
    "weighted focal": FocalLoss(weight=WEIGHT, reduction="token_mean"),
    "weighted label smoothing": LabelSmoothingLoss(weight=WEIGHT, reduction="token_mean"),
    "logit adjusted": LogitAdjustedLoss(counts=[50, 8, 4, 3]),
    "smoothing to embeddings": EmbeddingSmoothingLoss(embeddings=torch.eye(4)),
}


def sentences() -> list[dict[str, Tensor]]:
    """20 sentences with 0 to 12 labels each, none in the second pair.

    The last step of an epoch, in steps of 8, is half full.
    """
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(1, 30, (20, 12), generator=generator)
    labels = torch.where(words < 20, 0, words % 4)
    labels[torch.arange(12) >= torch.randint(0, 13, (20, 1), generator=generator)] = -100
    labels[2:4] = -100
    return [{"input_ids": x, "labels": y} for x, y in zip(words, labels, strict=True)]


DATA = sentences()


def model() -> BertForTokenClassification:
    """In float64, where splitting a sum costs nothing."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=4,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return BertForTokenClassification(config).double()


def trainer(folder, loss: Callable, batch: int, accumulation: int, devices: int = 1) -> Trainer:
    arguments = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=batch,
        per_device_eval_batch_size=batch,
        gradient_accumulation_steps=accumulation,
        train_sampling_strategy="sequential",
        num_train_epochs=2,
        learning_rate=0.3,
        optim="sgd",
        lr_scheduler_type="constant",
        max_grad_norm=0.0,
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    assert arguments.n_gpu == 0
    # On a CPU, DataParallel runs the model in one piece; the Trainer's arithmetic is the same.
    arguments._n_gpu = devices
    return Trainer(
        model=model(),
        args=arguments,
        train_dataset=DATA,
        eval_dataset=DATA[:8],
        compute_loss_func=loss,
    )


def parameters(network: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def trained(*arguments, **options) -> Tensor:
    """The parameters after two epochs, 6 steps."""
    hf_trainer = trainer(*arguments, **options)
    hf_trainer.train()
    assert hf_trainer.state.global_step == 6
    return parameters(hf_trainer.model)


def trained_by_hand(loss: Loss) -> Tensor:
    network = model()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.3)
    for first in (0, 8, 16) * 2:
        step = DATA[first : first + 8]
        logits = network(input_ids=torch.stack([x["input_ids"] for x in step])).logits
        optimizer.zero_grad()
        loss(logits, torch.stack([x["labels"] for x in step])).backward()
        optimizer.step()
    return parameters(network)


def apart(a: Tensor, b: Tensor) -> float:
    """The distance of two parameter vectors, relative to how far training goes."""
    return ((a - b).norm() / (b - parameters(model())).norm()).item()


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_accumulation_changes_nothing(loss, tmp_path):
    by_hand = trained_by_hand(loss)
    for batch, accumulation in ((8, 1), (2, 4)):
        assert apart(trained(tmp_path, TrainerLoss(loss), batch, accumulation), by_hand) < 1e-12


def test_averaging_the_means_of_micro_batches_does_change_something(tmp_path):
    loss = FocalLoss()

    def averaged(outputs, labels, num_items_in_batch):
        return loss(outputs.logits, labels) / 4

    assert apart(trained(tmp_path, averaged, 2, 4), trained_by_hand(loss)) > 0.1


def test_several_devices_in_one_process_change_nothing(tmp_path):
    loss = FocalLoss(weight=WEIGHT, reduction="token_mean")
    assert (
        apart(trained(tmp_path, TrainerLoss(loss), 1, 4, devices=2), trained_by_hand(loss)) < 1e-12
    )


def test_the_loss_of_an_evaluation_is_the_loss(tmp_path):
    loss = LOSSES["weighted focal"]
    hf_trainer = trainer(tmp_path, TrainerLoss(loss), 8, 1)
    logits = hf_trainer.model(input_ids=torch.stack([x["input_ids"] for x in DATA[:8]])).logits
    expected = loss(logits, torch.stack([x["labels"] for x in DATA[:8]])).item()
    assert hf_trainer.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-6)


def some() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    logits, labels = (
        torch.randn(3, 8, 4, generator=generator),
        torch.randint(0, 4, (3, 8), generator=generator),
    )
    labels[0, 3:] = -100
    return logits, labels


def test_the_value_is_the_sum_over_the_number_that_the_trainer_gives():
    logits, labels = some()
    expected = FocalLoss(weight=WEIGHT, reduction="sum")(logits, labels).item()
    loss = TrainerLoss(FocalLoss(weight=WEIGHT, reduction="token_mean"))
    outputs = TokenClassifierOutput(logits=logits)
    for number in (57, 57.0, torch.tensor(57), torch.tensor(57.0)):
        assert loss(outputs, labels, num_items_in_batch=number).item() == pytest.approx(
            expected / 57
        )
    assert loss(outputs, labels).item() == pytest.approx(expected / (labels != -100).sum().item())


def test_logits_come_from_a_mapping_or_an_attribute():
    logits, labels = some()
    loss = TrainerLoss(CrossEntropyLoss())
    given = [
        TokenClassifierOutput(logits=logits),
        {"logits": logits},
        SimpleNamespace(logits=logits),
    ]
    assert [loss(x, labels).item() for x in given] == pytest.approx(
        [loss.loss(logits, labels).item()] * 3
    )


def test_bf16_logits_give_a_float32_value():
    logits, labels = some()
    loss = TrainerLoss(FocalLoss())
    low = loss({"logits": logits.bfloat16()}, labels, 57)
    assert low.dtype == torch.float32
    assert low.item() == pytest.approx(
        loss({"logits": logits.bfloat16().float()}, labels, 57).item(), rel=1e-6
    )


@pytest.mark.parametrize("number", [None, 0, torch.tensor(0.0), 57])
def test_without_real_tokens_value_and_gradient_are_zero(number):
    logits, labels = some()
    value = TrainerLoss(FocalLoss())(
        {"logits": logits.requires_grad_()}, torch.full_like(labels, -100), number
    )
    value.backward()
    assert value == 0 and not logits.grad.any()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_weights_follow_the_logits_and_labels_too():
    logits, labels = some()
    loss = TrainerLoss(FocalLoss(weight=WEIGHT, reduction="token_mean"))
    expected = loss({"logits": logits}, labels, 57).item()
    for number in (57, torch.tensor(57.0)):
        assert loss({"logits": logits.cuda()}, labels, number).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("loss", "subject"),
    [
        (FocalLoss(weight=WEIGHT), "reduction=mean"),
        (FocalLoss(reduction="sum"), "reduction=sum"),
        (FocalLoss(reduction="none"), "reduction=none"),
        (BatchBalancedFocalLoss(reduction="token_mean"), "loss=BatchBalancedFocalLoss"),
        (
            EmbeddingSmoothingLoss(),
            "loss=EmbeddingSmoothingLoss",
        ),  # its centroids move with each micro-batch
        (DiceLoss(), "loss=DiceLoss"),
        (GHMCLoss(), "loss=GHMCLoss"),
        (CompoundLoss({"focal": FocalLoss()}), "loss=CompoundLoss"),
        (nn.CrossEntropyLoss(), "loss=CrossEntropyLoss"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_inexact_accumulation_is_refused_with_a_remedy(loss, subject, faults_of):
    (fault,) = faults_of(lambda: TrainerLoss(loss))
    assert f"{fault.setting}={fault.value}" == subject
    remedy = "token_mean" if fault.setting == "reduction" else "in plain PyTorch"
    assert remedy in str(fault)


def test_missing_labels_are_refused(assert_refused_as):
    outputs = {"logits": some()[0]}
    assert_refused_as(lambda: TrainerLoss(FocalLoss())(outputs, None), "labels=None")


def test_the_adapter_is_no_loss():
    assert not issubclass(TrainerLoss, Loss)
