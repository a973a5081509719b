"""From a diagnosis to a sweep: rules, each a hypothesis that the sweep tests, and the settings that it compares."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from nersweep.batches.batch import Gold
from nersweep.config.check import Checked, Parts
from nersweep.data.corpus import Sentence
from nersweep.diagnosis.imbalance import Diagnosis, Words, measure
from nersweep.labels import LabelSet
from nersweep.model.heads.base import Head
from nersweep.run.plan import Facts, learn
from nersweep.training.sampling import entity_importance

Setting = tuple[str, ...]  # what is typed for it

# In every sweep. A run tells the F1 of a threshold chosen after training (τ) beside its own, so cross entropy with it
# needs no setting.
ALWAYS: tuple[Setting, ...] = (("loss=cross_entropy",), ("loss=label_smoothing",))
ADJUSTED = ("loss=logit_adjusted",)
WEIGHTED = ("loss=cross_entropy", "weights=inverse_sqrt")
RESAMPLED = ("loss=cross_entropy", "train.sampler=entity_balanced")
CRF = ("loss=crf", "train.head_lr=1e-2")
ROBUST = ("loss=gce",)

AFTERWARDS = (
    "After the sweep, look at precision and recall of the best setting. Precision far below recall: lower the weights "
    "or τ (weights=none, logit_adjusted_tau=0.5). Recall far below precision: raise them."
)


class Finding(NamedTuple):
    """A rule that fired: what it has found, by which statistic, the hypothesis, and the settings that it adds."""

    name: str
    statistic: str
    hypothesis: str
    settings: tuple[Setting, ...] = ()


def even(found: Diagnosis) -> Finding | None:
    name, count = found.rarest
    if found.entity_ratio < 10 and count > 500:
        return Finding(
            "even classes",
            f"the most frequent entity class has {found.entity_ratio:.1f} times the words of the rarest (below 10), "
            f"and the rarest, {name}, has {count:,} (above 500)",
            "expect no loss to be better than cross entropy by more than chance, and strong class weights to cost "
            "points. More seeds, a better encoder and a CRF are worth more",
            (CRF,),
        )


def rare(found: Diagnosis) -> Finding | None:
    name, count = found.rarest
    reasons = [f"the rarest class, {name}, has {count:,} words (below 100)"] if count < 100 else []
    if found.entity_ratio > 20:
        times = f"{found.entity_ratio:.1f} times the words of the rarest (above 20)"
        reasons.append(f"the most frequent entity class has {times}")
    if reasons:
        return Finding(
            "rare classes",
            ", and ".join(reasons),
            "logit adjustment, class weights by the inverse square root of the count, or drawing sentences with rare "
            "types more often may raise recall and macro F1",
            (ADJUSTED, WEIGHTED, RESAMPLED),
        )


def absent(found: Diagnosis) -> Finding | None:
    name, share = found.most_absent
    if share > 0.5:
        others = int((found.absent > 0.5).sum()) - 1
        more = f", and {others} other{'s' * (others > 1)} from more than half" if others else ""
        return Finding(
            "absent from batches",
            f"{name} is absent from {share:.0%} of the batches of {found.batch_size} sentences (above 50%){more}",
            "counts within a batch are too noisy for loss=batch_balanced. With resampling or a larger batch more steps "
            f"teach the class; train.batch_size={found.batch_enough} is enough for all classes",
            (RESAMPLED,),
        )


def new_names(found: Diagnosis) -> Finding | None:
    shares = {split: of.any_case for split, of in found.unseen.items() if of.any_case > 0.8}
    if shares:
        told = " and ".join(
            f"{share:.0%} of the {split} entities" for split, share in shares.items()
        )
        return Finding(
            "new names",
            f"{told} have a name that no training entity has, whatever its case (above 80%)",
            "re-weighting will not help to find them; a better encoder, more context and more data will",
        )


def noisy(found: Diagnosis) -> Finding | None:
    reasons = []
    if found.other_type > 0.05:
        reasons.append(
            f"{found.other_type:.1%} of the entities have another type than most of their name (above 5%)"
        )
    if found.repeated >= 10 and found.repeated_differing > 0.1 * found.repeated:
        differing = (
            f"{found.repeated_differing} of {found.repeated} sentences that occur more than once"
        )
        reasons.append(f"{differing} do not always have the same tags (above 10%)")
    if reasons:
        return Finding(
            "noisy labels",
            ", and ".join(reasons),
            "some labels may be wrong, or names ambiguous. If wrong, generalised cross entropy or label smoothing does "
            "better than cross entropy, and focal_gamma above 2 and loss=ghm, which stress the hardest words, do worse",
            (ROBUST,),
        )


RULES: tuple[Callable[[Diagnosis], Finding | None], ...] = (even, rare, absent, new_names, noisy)


def findings(found: Diagnosis) -> list[Finding]:
    return [finding for rule in RULES if (finding := rule(found))]


def settings(told: Sequence[Finding], head: str) -> list[Setting]:
    """What the sweep compares, cross entropy first. head: as it was chosen; two pointers have no CRF."""
    every = dict.fromkeys([*ALWAYS, *(setting for finding in told for setting in finding.settings)])
    return [setting for setting in every if setting != CRF or head != "span"]


def recommended(checked: Checked) -> list[Setting]:
    """The settings for a configuration. Raises ValueError for what is wrong in its data, which it reads."""
    parts = checked.parts
    found = examine(parts, learn(parts), checked.settings.train.batch_size)
    return settings(findings(found), checked.settings.choice.head)


def examine(parts: Parts, facts: Facts, batch_size: int) -> Diagnosis:
    """The diagnosis of the classes that the loss sees, in batches of so many sentences."""
    corpus, labels, head = facts.corpus, facts.labels, parts.head.target
    words = {
        split: words_of(sentences, head, labels) for split, sentences in corpus.splits().items()
    }
    importance = entity_importance(tags_of(corpus.train, labels), labels)
    return measure(corpus, facts.classes, words, batch_size, importance)


def tags_of(sentences: Sequence[Sentence], labels: LabelSet) -> Words:
    ids = torch.tensor([i for sentence in sentences for i in labels.encode(sentence.tags)])
    lengths = torch.tensor([0, *(len(sentence.words) for sentence in sentences)])
    return Words(ids.numpy(), lengths.cumsum(0).numpy())


def words_of(sentences: Sequence[Sentence], head: type[Head], labels: LabelSet) -> Words:
    """With the classes that a head's loss sees."""
    tags = tags_of(sentences, labels)
    starts = torch.from_numpy(tags.sentence_words)
    classes = head.targets(Gold(torch.from_numpy(tags.labels), starts.diff()), labels)[0]
    return Words(classes.numpy(), tags.sentence_words)
