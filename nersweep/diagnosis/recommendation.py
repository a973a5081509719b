"""From a diagnosis to a sweep: rules, each a hypothesis to test, and the settings to compare."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from nersweep.batches.batch import Gold
from nersweep.config.check import Checked, Parts
from nersweep.config.overrides import Overrides
from nersweep.data.corpus import Sentence
from nersweep.diagnosis.imbalance import Diagnosis, Words, measure
from nersweep.labels import LabelSet
from nersweep.model.heads.base import Head
from nersweep.run.plan import Facts, learn
from nersweep.training.sampling import importance_of

# In every sweep. A run reports its F1 with a threshold τ chosen after training, so cross entropy
# with τ needs no setting of its own.
ALWAYS: tuple[Overrides, ...] = (("loss=cross_entropy",), ("loss=label_smoothing",))
ADJUSTED = ("loss=logit_adjusted",)
WEIGHTED = ("loss=cross_entropy", "weights=inverse_sqrt")
RESAMPLED = ("loss=cross_entropy", "train.sampler=entity_balanced")
CRF = ("loss=crf", "train.head_lr=1e-2")
BALANCED = ("loss=batch_balanced",)

# Sweeps that have checked rules: differences from cross entropy in points of F1 on test, with
# intervals that hold together. Their commands: docs/diagnosis.md.
GUESS = "a guess; no sweep has checked it"
CONLL = (
    "on CoNLL-2003 (6.2 times, 1,155 words; MiniLM, 5 seeds) label_smoothing +0.02 [−0.28, +0.31], "
    "focal −0.62 [−0.98, −0.26], inverse weights −9.48 [−11.07, −7.88] points"
)
GENERATED = (
    "on the generated corpus (31.4 times, 47 words, absent from 50.4% of batches; tiny encoder, 3 "
    "seeds) inverse_sqrt +6.07 [−0.40, +12.54], batch_balanced +5.90 [−0.97, +12.78], inverse "
    "weights +3.92 [−4.45, +12.29], logit_adjusted +0.95 [−5.84, +7.74], entity_balanced −0.40 "
    "[−7.52, +6.72] points, all undecided"
)
NOISY = (
    "on the generated corpus with 10% of wrong labels (tiny encoder, 3 seeds) label_smoothing "
    "−0.27 [−3.00, +2.45] points, undecided; gce did not train"
)

AFTERWARDS = (
    "After the sweep, compare precision and recall of the best setting. If precision is far below "
    "recall, lower the weights or τ (weights=none, logit_adjusted_tau=0.5); if recall is far below "
    "precision, raise them."
)


class Finding(NamedTuple):
    """A rule that fired: the statistic behind it, its hypothesis, and the settings that test it.

    evidence: the sweep that has checked the hypothesis, on which data, or that it is a guess.
    """

    name: str
    statistic: str
    hypothesis: str
    evidence: str
    settings: tuple[Overrides, ...] = ()


def even(diagnosis: Diagnosis) -> Finding | None:
    """Classes of similar size need no special loss."""
    name, count = diagnosis.rarest
    ratio = diagnosis.entity_ratio
    if ratio > 7 or count <= 500:
        return None
    return Finding(
        "even classes",
        f"the most frequent entity class has {ratio:.1f} times the words of the rarest (at most "
        f"7), and the rarest, {name}, has {count:,} (above 500)",
        "expect no loss to beat cross entropy, and strong class weights to cost points. More "
        "seeds, a better encoder or a CRF may be worth more",
        f"{CONLL}. Of seeds, encoder and CRF: a guess",
        (CRF,),
    )


def rare(diagnosis: Diagnosis) -> Finding | None:
    """Rare classes may gain from adjustment, weights or resampling."""
    name, count = diagnosis.rarest
    reasons: list[str] = []
    if count < 100:
        reasons.append(f"the rarest class, {name}, has {count:,} words (below 100)")
    if diagnosis.entity_ratio > 20:
        reasons.append(
            f"the most frequent entity class has {diagnosis.entity_ratio:.1f} times the words of "
            "the rarest (above 20)"
        )
    if not reasons:
        return None
    return Finding(
        "rare classes",
        ", and ".join(reasons),
        "logit adjustment, class weights by the inverse square root of the count, or drawing "
        "sentences with rare types more often may raise recall and macro F1",
        GENERATED,
        (ADJUSTED, WEIGHTED, RESAMPLED),
    )


def absent(diagnosis: Diagnosis) -> Finding | None:
    """Classes that most batches lack need resampling, larger batches or weights within a batch."""
    name, share = diagnosis.most_absent
    if share <= 0.5:
        return None
    others = int((diagnosis.absent > 0.5).sum()) - 1
    statistic = (
        f"{name} is absent from {share:.1%} of the batches of {diagnosis.batch_size} sentences "
        "(above 50%)"
    )
    if others:
        plural = "s" if others > 1 else ""
        statistic += f", and {others} other{plural} from more than half"
    return Finding(
        "absent from batches",
        statistic,
        "weights from the counts of the batch may help, or resampling, or a larger batch: "
        f"train.batch_size={diagnosis.batch_enough} is enough for all classes",
        f"{GENERATED}. Of larger batches: a guess",
        (BALANCED, RESAMPLED),
    )


def new_names(diagnosis: Diagnosis) -> Finding | None:
    """New names need a better encoder, not another loss."""
    shares: list[str] = []
    for split, unseen in diagnosis.unseen.items():
        if unseen.any_case > 0.8:
            shares.append(f"{unseen.any_case:.0%} of the {split} entities")
    if not shares:
        return None
    return Finding(
        "new names",
        f"{' and '.join(shares)} have a name that no training entity has, in any case (above 80%)",
        "re-weighting will not help to find them; a better encoder, more context and more data "
        "will",
        GUESS,
    )


def noisy(diagnosis: Diagnosis) -> Finding | None:
    """Names outside of entities, and sentences of two readings, may lack labels."""
    reasons: list[str] = []
    if diagnosis.untagged > 0.01:
        reasons.append(
            f"names that mostly are entities are outside of any at {diagnosis.untagged:.1%} of "
            "their places (above 1%)"
        )
    repeated, differing = diagnosis.repeated, diagnosis.repeated_differing
    if repeated >= 10 and differing > 0.1 * repeated:
        reasons.append(
            f"{differing} of {repeated} sentences that occur more than once do not always have the "
            "same tags (above 10%)"
        )
    if not reasons:
        return None
    return Finding(
        "noisy labels",
        ", and ".join(reasons),
        "some labels may be missing or wrong, or names may be common words too: only reading such "
        "places tells. Label smoothing, which is always in the sweep, is the mildest remedy",
        "the statistic is 0 on clean generated corpora, ambiguous or not, and 1.2% to 2.6% with 5% "
        f"of wrong labels (docs/diagnosis.md). Of the remedy: {NOISY}",
    )


def ambiguous(diagnosis: Diagnosis) -> Finding | None:
    """Names of several types, or of wrong ones."""
    if diagnosis.other_type <= 0.05:
        return None
    return Finding(
        "ambiguous names",
        f"{diagnosis.other_type:.1%} of the entities have another type than most of their name "
        "(above 5%)",
        "names have several types, or some types are wrong: these cannot be told apart without "
        "training. If names are ambiguous, context decides, and a better encoder may help",
        GUESS,
    )


RULES: tuple[Callable[[Diagnosis], Finding | None], ...] = (
    even,
    rare,
    absent,
    new_names,
    noisy,
    ambiguous,
)


def findings(diagnosis: Diagnosis) -> list[Finding]:
    """Apply the rules."""
    return [finding for rule in RULES if (finding := rule(diagnosis))]


def recommend(findings: Sequence[Finding], head: str) -> list[Overrides]:
    """Return the settings to compare, cross entropy first. A head of two pointers has no CRF."""
    unique = dict.fromkeys(ALWAYS)
    for finding in findings:
        unique |= dict.fromkeys(finding.settings)
    if head == "span":
        unique.pop(CRF, None)
    return list(unique)


def recommend_settings(checked: Checked) -> list[Overrides]:
    """Return the settings to compare for a configuration. Raises UserError for its data, which are
    read."""
    settings = checked.settings
    facts = learn(checked.parts, settings.seed)
    diagnosis = examine(checked.parts, facts, settings.train.batch_size)
    return recommend(findings(diagnosis), settings.choice.head)


def examine(parts: Parts, facts: Facts, batch_size: int) -> Diagnosis:
    """Diagnose the classes that the loss sees, in batches of so many sentences."""
    head: type[Head] = parts.head.target
    words: dict[str, Words] = {}
    for split, sentences in facts.corpus.splits().items():
        words[split] = words_of(sentences, head, facts.labels)
    tags = tags_of(facts.corpus.train, facts.labels)
    importance = importance_of("entity_balanced", tags.labels, tags.sentence_words, facts.labels)
    assert importance is not None
    return measure(facts.corpus, facts.classes, words, batch_size, importance)


def tags_of(sentences: Sequence[Sentence], labels: LabelSet) -> Words:
    """Return the tags of all words."""
    ids: list[int] = []
    starts = [0]
    for sentence in sentences:
        ids += labels.encode(sentence.tags)
        starts.append(len(ids))
    return Words(torch.tensor(ids).numpy(), torch.tensor(starts).numpy())


def words_of(sentences: Sequence[Sentence], head: type[Head], labels: LabelSet) -> Words:
    """Return the classes of all words, as the loss of a head sees them."""
    tags = tags_of(sentences, labels)
    starts = torch.from_numpy(tags.sentence_words)
    classes = head.targets(Gold(torch.from_numpy(tags.labels), starts.diff()), labels)[0]
    return Words(classes.numpy(), tags.sentence_words)
