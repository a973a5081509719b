"""Add counts by document to an archive of a version that kept counts by sentence alone.

    python docs/results/add_documents.py docs/results/conll2003_table.jsonl DIR/test.txt

The column file of the scored split says where documents begin. Such an archive has no types by
sentence, so its counts by document are those of all types. The file is replaced; no word of the
data enters it. Raises ValueError if the entities of a sentence are not those of the archive.
"""

import json
import sys
from pathlib import Path

import numpy as np

from nersweep.data.columns import read_file
from nersweep.data.corpus import document_numbers
from nersweep.evaluation.counts import from_dense
from nersweep.labels import spans
from nersweep.report.archive import unpack


def main(archive: Path, file: Path) -> None:
    sentences = read_file(file)
    numbers = document_numbers(sentences)
    entities = [len(spans(sentence.tags)) for sentence in sentences]
    lines: list[str] = []
    for line in archive.read_text(encoding="utf-8").splitlines():
        values = json.loads(line)
        counts = unpack(values["counts"])  # (S, 3)
        if counts[:, 2].tolist() != entities:
            raise ValueError(f"{file} has other entities than {values['result']['name']}")
        by_document = np.zeros((numbers.max() + 1, 1, 3), dtype=np.int64)
        np.add.at(by_document[:, 0], numbers, counts)
        values["documents"] = from_dense((), True, by_document[:, :, None]).to_json()
        lines.append(json.dumps(values, ensure_ascii=False) + "\n")
    archive.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
