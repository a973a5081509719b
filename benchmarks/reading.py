"""Words per second of CPU time from a column file to tokenised arrays, on one core.

    OMP_NUM_THREADS=1 python benchmarks/reading.py --rounds 3

A generated corpus is written as column files in several layouts, 200,000 training sentences in all
(--sentences) and a tenth of that for dev and test each. For each layout and round a process of its
own reads and checks the three files and tokenises the training split with MiniLM's tokeniser.
Reading is everything of `data=conll` up to the corpus: finding the layout, rows, scheme, IOB2,
checksum. Memory is the growth of the resident set by the corpus, and its peak over both.
Prints Markdown: medians over the rounds, and the range. Linux only.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import LABELS, MINILM, machine, shown

LAYOUTS = {
    "blanks, four columns, IOB2": "{word} NN B-NP {tag}",
    "tabs, two columns, IOB2": "{word}\t{tag}",
    "tabs, index and comments, BILOU": "{i}\t{word}\t{tag}",
}


def write_files(sentences: int, folder: Path) -> None:
    """Write train, dev and test for each layout into a folder of its number."""
    from nersweep.data.generated import Generated
    from nersweep.labels import spans

    sizes = {"train": sentences, "dev": sentences // 10, "test": sentences // 10}
    shape = {
        "imbalance": 20,
        "o_share": 0.83,
        "ambiguity": 0.15,
        "unseen": 0.5,
        "label_noise": 0.0,
    }
    corpus = Generated(**shape, **sizes, seed=1).load()
    for number, (name, row) in enumerate(LAYOUTS.items()):
        (folder / str(number)).mkdir()
        for split, group in corpus.splits().items():
            with open(folder / str(number) / split, "w", encoding="utf-8") as file:
                for place, sentence in enumerate(group):
                    tags = list(sentence.tags)
                    if "BILOU" in name:
                        file.write(f"# sentence {place} of {split}\n")
                        for start, end, type_ in spans(tags):
                            tags[end - 1] = f"L-{type_}" if end - start > 1 else f"U-{type_}"
                    for i, (word, tag) in enumerate(zip(sentence.words, tags, strict=True)):
                        file.write(row.format(i=i + 1, word=word, tag=tag) + "\n")
                    file.write("\n")


def measure(folder: Path) -> dict[str, float]:
    """Read and tokenise the files of a folder. Returns words, seconds and MiB."""
    from nersweep.batches.windows import tokenise
    from nersweep.data.columns import ColumnFiles

    encoder = MINILM.build(LABELS.names)
    encoder.tokenizer("warm")
    before = resident()
    start = time.process_time()
    files = {split: str(folder / split) for split in ("train", "dev", "test")}
    corpus = ColumnFiles(**files).load()
    checksum = corpus.checksum
    read = time.process_time() - start
    corpus_memory = resident() - before
    start = time.process_time()
    tokenise(corpus.train, corpus.labels, encoder.tokenizer, encoder.max_length)
    tokenised = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    words = {split: sum(len(s.words) for s in group) for split, group in corpus.splits().items()}
    assert checksum
    return {
        "words": sum(words.values()),
        "read": sum(words.values()) / read,
        "tokenise": words["train"] / tokenised,
        "both": 1 / (read / sum(words.values()) + tokenised / words["train"]),
        "memory": corpus_memory,
        "peak": peak - before,
    }


def resident() -> float:
    """Return the memory of this process, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentences", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="of one layout: measure it in this process")
    arguments = parser.parse_args()
    if arguments.folder:
        print(json.dumps(measure(arguments.folder)))
        return
    results: dict[str, list[dict[str, float]]] = {name: [] for name in LAYOUTS}
    with tempfile.TemporaryDirectory() as folder:
        write_files(arguments.sentences, Path(folder))
        for _ in range(arguments.rounds):
            for number, name in enumerate(LAYOUTS):
                command = [sys.executable, __file__, "--folder", f"{folder}/{number}"]
                out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                results[name].append(json.loads(out.splitlines()[-1]))
    print(f"{machine(1)}; thousands of words per second of CPU time\n")
    print("| layout | words | read | tokenise | both | corpus, MiB | peak, MiB |")
    print("|---|---|---|---|---|---|---|")
    for name, rounds in results.items():
        cells = [name, f"{rounds[0]['words']:,.0f}"]
        for value in ("read", "tokenise", "both"):
            cells.append(shown([each[value] / 1000 for each in rounds], 0))
        for value in ("memory", "peak"):
            cells.append(shown([each[value] for each in rounds], 0))
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
