"""Assemble what a run trains: the model with its first weights, and the data as it sees it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import transformers

from nersweep.batches.batch import Tokenised
from nersweep.batches.cache import tokenised
from nersweep.batches.windows import tokenise
from nersweep.config.schema import TrainConfig
from nersweep.faults import Fault, UserError
from nersweep.model.encoders.encoder import Encoder
from nersweep.model.heads.base import Head
from nersweep.model.tagger import Tagger
from nersweep.run.plan import Plan
from nersweep.terminal import console

Splits = dict[str, Tokenised]


def assemble(plan: Plan, tokenise: Callable[[Encoder], Splits]) -> tuple[Tagger, Splits]:
    """Return the model on its device, and the splits as `tokenise` gives them.

    The first weights depend on the seed alone.
    """
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    labels, train = plan.facts.labels, plan.train
    head: type[Head] = plan.head.target
    torch.manual_seed(plan.identity.seed)
    encoder = plan.encoder.build(head.outputs(labels), plan.facts.corpus)
    aux = None
    if plan.aux:
        aux = plan.aux.build(encoder.model.config.hidden_size, plan.vocabularies)
    tagger = Tagger(encoder, plan.head.make(encoder=encoder, labels=labels), plan.loss, aux)
    tagger.to(plan.device)
    splits = tokenise(encoder)
    if train.engine.used_rows and train.weight_decay == 0:
        encoder.use_rows(np.concatenate([split.pieces for split in splits.values()]))
    encoder.on(plan.device, plan.precision, train.engine)
    return tagger, splits


def tokenise_all(plan: Plan, encoder: Encoder) -> Splits:
    """Return all splits as the encoder sees them. They are cached in output_dir.

    Not an augmented training split, which only runs of one seed share.
    """
    splits: Splits = {}
    for name, sentences in plan.facts.corpus.splits().items():
        if name == "train" and plan.facts.augmented:
            splits[name] = tokenise(
                [*sentences, *plan.facts.augmented],
                plan.facts.labels,
                encoder.tokenizer,
                encoder.max_length,
                plan.vocabularies,
                encoder.reading,
            )
            continue
        splits[name] = tokenised(
            sentences,
            plan.facts.labels,
            encoder.tokenizer,
            encoder.max_length,
            plan.vocabularies if name == "train" else {},
            plan.output_dir / "cache",
            encoder.reading,
        )
    return splits


def in_smaller_parts(config: TrainConfig, error: torch.OutOfMemoryError) -> TrainConfig:
    """Return the same optimiser step in twice as many micro-batches, with train.auto_batch=true.

    Raises UserError without it, and if a micro-batch has one sentence already.
    """
    setting = f"train.batch_size={config.batch_size} train.accumulation={config.accumulation}"
    smaller = replace(config, accumulation=2 * config.accumulation)
    if smaller.accumulation > config.batch_size:
        must = "one sentence does not fit into the device's memory"
        raise UserError(Fault(setting, must=must, remedy="use a smaller model")) from error
    must = "does not fit into the device's memory"
    if not config.auto_batch:
        remedy = (
            f"set train.accumulation={smaller.accumulation}, which changes no gradient, "
            "or train.auto_batch=true"
        )
        raise UserError(Fault(setting, must=must, remedy=remedy)) from error
    console.print(f"{setting}: {must}; resuming with twice as many parts")
    return smaller
