"""Auxiliary tasks: how their losses are weighed, and what of them is exact."""

import pytest
import torch
from torch.nn import functional

from nersweep.batches.batch import Gold
from nersweep.data.corpus import Corpus, Sentence
from nersweep.faults import UserError
from nersweep.model.auxiliary import AuxiliaryHeads, Multitask

SENTENCES = [
    Sentence(("a", "b"), ("O", "B-X"), {"pos": ("DT", "NN"), "chunk": ("B-NP", "I-NP")}),
    Sentence(("c",), ("O",), {"pos": ("VB",), "chunk": ("O",)}),
]
CORPUS = Corpus("two", "here", SENTENCES, SENTENCES, SENTENCES)
IDS = {"pos": torch.tensor([0, 1, 2]), "chunk": torch.tensor([0, 1, 2])}
GOLD = Gold(torch.zeros(3, dtype=torch.long), torch.tensor([2, 1]), IDS)
FEATURES = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
NER = {"focal": (1.0, torch.tensor(0.5)), "dice": (0.25, torch.tensor(2.0))}


def heads(weight):
    torch.manual_seed(0)
    weights = Multitask(["pos", "chunk"], weight).weights()
    return AuxiliaryHeads(8, {"pos": 3, "chunk": 3}, weights).eval()


def total(terms):
    return sum(weight * value for weight, value in terms.values())


def test_vocabularies_are_those_of_the_training_split():
    assert Multitask(["pos", "chunk"]).vocabularies(CORPUS) == {
        "pos": {"DT": 0, "NN": 1, "VB": 2},
        "chunk": {"B-NP": 0, "I-NP": 1, "O": 2},
    }


def test_data_without_the_column_is_refused_by_name():
    with pytest.raises(UserError) as error:
        Multitask(["lemma", "pos"]).vocabularies(CORPUS)
    (fault,) = error.value.faults
    assert (fault.setting, fault.value) == ("aux", "lemma_pos")
    assert fault.must == "data=two has no column lemma; it has chunk, pos"


@pytest.mark.parametrize(
    ("weight", "factors"), [(0.3, (0.3, 0.3)), ({"pos": 0.3, "chunk": 2.0}, (0.3, 2.0))]
)
def test_fixed_weights_multiply_the_columns_and_leave_ner_alone(weight, factors):
    aux = heads(weight)
    terms = aux.terms(NER, FEATURES, GOLD, GOLD)
    losses = [
        functional.cross_entropy(head(FEATURES), IDS[c]).item()
        for c, head in zip(("pos", "chunk"), aux.heads, strict=True)
    ]
    assert {name: terms[name] for name in NER} == NER
    assert total(terms).item() == pytest.approx(
        0.5 + 0.25 * 2 + factors[0] * losses[0] + factors[1] * losses[1]
    )


def test_learned_weights_are_those_of_kendall():
    aux = heads("uncertainty")
    s = torch.tensor([0.4, -0.2, 1.0])
    aux.log_variances.data = s
    terms = aux.terms(NER, FEATURES, GOLD, GOLD)
    losses = torch.stack(
        [torch.tensor(1.0), terms["pos"][1], terms["chunk"][1]]
    )  # .5 + .25 · 2 for NER
    assert total(terms).item() == pytest.approx(((-s).exp() * losses + s / 2).sum().item())


def test_learned_weights_converge_to_the_theoretical_values():
    # For a loss that does not change, exp(-s)·L + s/2 is least at s = log 2L.
    aux = heads("uncertainty")
    optimiser = torch.optim.Adam(aux.parameters(), lr=0.05)
    for _ in range(800):
        optimiser.zero_grad()
        total(
            aux.terms({"ner": (1.0, torch.tensor(3.0))}, FEATURES.detach(), GOLD, GOLD)
        ).backward()
        for head in aux.heads.parameters():
            head.grad = None
        optimiser.step()
    assert aux.log_variances[0].item() == pytest.approx(torch.tensor(6.0).log().item(), abs=1e-3)


def test_micro_batches_log_the_values_of_the_step():
    aux = heads("uncertainty")
    aux.log_variances.data = torch.tensor([0.4, -0.2, 1.0])
    part = Gold(GOLD.labels[:2], torch.tensor([2]), {c: ids[:2] for c, ids in IDS.items()})
    whole = aux.terms({}, FEATURES, GOLD, GOLD)["uncertainty"]
    some = aux.terms({}, FEATURES[:2], part, GOLD)["uncertainty"]
    assert whole[0] == some[0] == 1
    assert some[1].item() == pytest.approx(whole[1].item() * 2 / 3)


@pytest.mark.parametrize("weight", [0.7, "uncertainty"])
def test_micro_batches_add_up(weight):
    aux = heads(weight)
    aux.zero_grad()
    total(aux.terms({}, FEATURES, GOLD, GOLD)).backward()
    whole = [p.grad.clone() for p in aux.parameters()]
    aux.zero_grad()
    for words, lengths in ((slice(0, 2), [2]), (slice(2, 3), [1])):
        part = Gold(
            GOLD.labels[words], torch.tensor(lengths), {c: ids[words] for c, ids in IDS.items()}
        )
        total(aux.terms({}, FEATURES[words], part, GOLD)).backward()
    for p, expected in zip(aux.parameters(), whole, strict=True):
        assert torch.allclose(p.grad, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "weight", [-1.0, float("nan"), {"pos": 1.0}, {"pos": 1.0, "chunk": -1.0}, "learned"]
)
def test_weights_that_cannot_be_are_refused(weight):
    with pytest.raises(UserError) as error:
        Multitask(["pos", "chunk"], weight)
    assert error.value.faults[0].setting == "weight"


@pytest.mark.parametrize(
    "columns", [[], ["pos", "pos"], ["ner"], ["loss"], ["uncertainty"], ["a.b"]]
)
def test_columns_that_cannot_name_a_task_are_refused(columns):
    with pytest.raises(UserError) as error:
        Multitask(columns)
    assert error.value.faults[0].setting == "columns"
