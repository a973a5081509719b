"""Do thresholds chosen on dev hold? Choose them on random sentences of runs, score on the others.

python benchmarks/thresholds.py outputs/runs/* prints the mean gain in F1, in points, of τ and then
of an offset for each type, where they are chosen (500 sentences of dev and test together) and on
the rest. Each run gets the same draws of sentences. Its head must be a token head or a CRF.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from nersweep.evaluation.metrics import entities
from nersweep.evaluation.thresholds import (
    Decoding,
    best_offsets,
    best_tau,
    prior_shift,
    type_shift,
)
from nersweep.model.saved import SavedTagger
from nersweep.model.tagger import predict
from nersweep.results.card import read_card

CPU = torch.device("cpu")
DRAWS, CHOSEN_ON = 6, 500  # of each run; sentences


def sentences_of(folder: Path) -> tuple[list[list[str]], list[list[str]]]:
    """Return words and gold tags of dev and test."""
    words: list[list[str]] = []
    tags: list[list[str]] = []
    for split in ("dev", "test"):
        text = (folder / "predictions" / f"{split}.conll").read_text(encoding="utf-8")
        for block in text.strip().split("\n\n"):
            columns = list(zip(*(line.split(" ") for line in block.split("\n")), strict=True))
            words.append(list(columns[0]))
            tags.append(list(columns[1]))
    return words, tags


def gains(folder: Path) -> list[list[float]]:
    """Return for each draw the gain of τ and of the types' offsets, chosen and on the rest."""
    tagger, card = SavedTagger(folder / "model"), read_card(folder)
    assert card, folder
    head, labels = tagger.tagger.head, tagger.labels
    counts = [card.numbers[f"train/{name}/count"] for name in head.classes(labels)]
    prior = prior_shift(head, np.array(counts))
    words, tags = sentences_of(folder)
    split = tagger.tokenise(words)
    emissions = torch.from_numpy(predict(tagger.tagger, split, CPU).emissions)
    lengths, ends = split.lengths(), split.sentence_words
    gold = np.array(labels.encode(tag for sentence in tags for tag in sentence))

    def part(sentences: np.ndarray) -> Decoding:
        places = np.concatenate([np.arange(ends[i], ends[i + 1]) for i in sentences])
        of_part = lengths[sentences]
        true = entities(gold[places], of_part, labels)
        return Decoding(head, labels, emissions[places], of_part, gold[places][:, None], true)

    rows: list[list[float]] = []
    rng = np.random.default_rng(0)
    for _ in range(DRAWS):
        order = rng.permutation(len(words))
        chosen, rest = part(order[:CHOSEN_ON]), part(order[CHOSEN_ON:])
        tau, _ = best_tau(chosen, prior)
        shifts = [0 * prior, tau * prior]
        shifts.append(shifts[1] + type_shift(head, labels, best_offsets(chosen, shifts[1])))
        f1 = np.array([[x.rates(shift).f1 for x in (chosen, rest)] for shift in shifts])
        rows.append((100 * np.diff(f1, axis=0)).ravel().tolist())
    return rows


rows: list[list[float]] = []
for argument in sys.argv[1:]:
    rows += gains(Path(argument))
means, sds = np.mean(rows, 0), np.std(rows, 0, ddof=1)
print(f"{len(rows)} draws; mean gain in points (and standard deviation of a draw)")
for name, place in (("τ", 0), ("types, beyond τ", 2)):
    on, off = (f"{means[i]:+.2f} ({sds[i]:.2f})" for i in (place, place + 1))
    print(f"{name}: {on} where chosen, {off} on the rest")
