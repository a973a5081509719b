"""The Hugging Face Trainer on nersweep's work: same model, data, batch size, epochs, learning rate.

    python benchmarks/trainer.py --data DIR --seeds 1 2 3

DIR holds train.txt, valid.txt and test.txt of CoNLL-2003. The model is the packaged MiniLM, the
settings are those of the Trainer's token-classification example; --bf16 and --group-by-length make
it faster, and --bf16-eval makes it evaluate faster. Prints one JSON line per seed: entity scores
(seqeval) after the last epoch, and seconds. With --tracking each seed is a run of an MLflow store,
with its settings, scores and the losses that the Trainer logs.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch
from common import MINILM, corpus_of
from seqeval.metrics import f1_score, precision_score, recall_score
from transformers import DataCollatorForTokenClassification, Trainer, TrainingArguments

from nersweep.data.corpus import Corpus, Sentence
from nersweep.labels import LabelSet


def encode(sentences: list[Sentence], labels: LabelSet, tokenizer) -> list[dict[str, list[int]]]:
    """As the example does it: a word's label on its first piece, -100 on the others."""
    encoded = tokenizer(
        [list(sentence.words) for sentence in sentences], is_split_into_words=True, truncation=True
    )
    examples = []
    for i, sentence in enumerate(sentences):
        words = encoded.word_ids(i)
        firsts = [
            word is not None and word != before
            for word, before in zip(words, [None, *words], strict=False)
        ]
        target = [
            labels.ids[sentence.tags[w]] if first else -100
            for w, first in zip(words, firsts, strict=True)
        ]
        examples.append({**{name: rows[i] for name, rows in encoded.items()}, "labels": target})
    return examples


def scores(
    trainer: Trainer, examples: list[dict[str, list[int]]], labels: LabelSet
) -> dict[str, float]:
    output = trainer.predict(examples)
    gold, predicted = [], []
    for row, target in zip(output.predictions.argmax(-1), output.label_ids, strict=True):
        real = target != -100
        gold.append(labels.decode(target[real]))
        predicted.append(labels.decode(row[real]))
    return {
        "f1": f1_score(gold, predicted),
        "precision": precision_score(gold, predicted),
        "recall": recall_score(gold, predicted),
    }


def run(corpus: Corpus, seed: int, given: argparse.Namespace) -> dict:
    labels = LabelSet(tag[2:] for s in corpus.train for tag in s.tags if tag != "O")
    torch.manual_seed(seed)
    encoder = MINILM.build(labels.names)
    examples = {
        split: encode(list(s), labels, encoder.tokenizer) for split, s in corpus.splits().items()
    }
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=given.batch_size,
            per_device_eval_batch_size=given.batch_size,
            learning_rate=given.lr,
            num_train_epochs=given.epochs,
            seed=seed,
            bf16=given.bf16,
            bf16_full_eval=given.bf16_eval,
            train_sampling_strategy="group_by_length" if given.group_by_length else "random",
            save_strategy="no",
            use_cpu=not torch.cuda.is_available(),
            report_to="none",
            disable_tqdm=True,
        )
        trainer = Trainer(
            model=encoder.model,
            args=arguments,
            train_dataset=examples["train"],
            data_collator=DataCollatorForTokenClassification(encoder.tokenizer),
            processing_class=encoder.tokenizer,
        )
        started = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - started
        results = {split: scores(trainer, examples[split], labels) for split in ("dev", "test")}
        if given.tracking:
            track(given.tracking, arguments, trainer.state.log_history, results)
        return {"seed": seed, "train_seconds": seconds} | results


def track(
    uri: str,
    arguments: TrainingArguments,
    history: list[dict[str, float]],
    results: dict[str, dict],
) -> None:
    import mlflow

    mlflow.set_tracking_uri(uri)
    with mlflow.start_run():
        known = ("seed", "num_train_epochs", "per_device_train_batch_size", "learning_rate", "bf16")
        mlflow.log_params({name: getattr(arguments, name) for name in known})
        for logged in history:
            mlflow.log_metrics(
                {k: v for k, v in logged.items() if k not in ("step", "epoch")}, step=logged["step"]
            )
        mlflow.log_metrics(
            {
                f"{split}/{name}": v
                for split, values in results.items()
                for name, v in values.items()
            }
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--bf16-eval", action="store_true")
    parser.add_argument("--group-by-length", action="store_true")
    parser.add_argument("--tracking", help="an MLflow store, such as sqlite:////tmp/mlflow.db")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    corpus = corpus_of(given.data)
    for seed in given.seeds:
        result = run(corpus, seed, given)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
