"""The card of a model: what it is, what it scored, on what, and how it was made."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from nersweep.deployment.models import ChosenModel
from nersweep.evaluation.metrics import Scores
from nersweep.report.formats import escape, grid
from nersweep.results.card import read_card
from nersweep.results.result import FinishedResult

CARD = """{meta}# {name}

A named-entity tagger for {types}, trained and scored with nersweep {version}. Encoder: {encoder}; \
head: {head}; loss: {loss}.

## Scores

One run with seed {seed}; its best epoch was chosen by {metric} on dev.{choice}

{scores}

## Data

{data}

{split_table}

## Training

```bash
{command}
```

{facts}

{settings}
{notes}
## Use

```bash
python -m nersweep.predict model=DIR text="…"
```

```python
{python}
```
"""
TRANSFORMERS = """from transformers import pipeline

# Other strategies read the labels of pieces that were never trained.
tagger = pipeline("token-classification", model="DIR", aggregation_strategy="first")"""
NERSWEEP = """from nersweep.model.saved import SavedTagger

# transformers alone does not read this model as it was trained.
tagger = SavedTagger("DIR")"""


def model_card(
    name: str, chosen: ChosenModel, result: FinishedResult, types: Sequence[str], is_plain: bool
) -> str:
    """Return the card in Markdown, with the metadata of the hub.

    is_plain: whether transformers reads the model as it was trained.
    """
    assert chosen.run, "the scores are the run's"
    card = read_card(chosen.run)
    command = card.note.replace("`", "") if card else "unknown"
    config, data = result.config, result.data
    train = config["train"]
    facts = (
        f"Epochs: {result.epochs}, the best {result.best_epoch}. Sentences a step: "
        f"{train['batch_size']}. {result.precision} on {escape(result.hardware)}, "
        f"{result.seconds.total:.0f} s. Fingerprint `{result.fingerprint}`."
    )
    rows = [(split, f"{count:,}") for split, count in data.sentences.items()]
    entities = [(type_, f"{count:,}") for type_, count in data.entities.items()]
    parameters = sorted((card.params if card else {}).items())
    notes = "".join(f"- {escape(note)}\n" for note in result.notes)
    return CARD.format(
        meta=metadata(name, result, is_plain),
        name=escape(name),
        types=", ".join(map(escape, types)),
        version=escape(result.versions.get("nersweep", "?")),
        encoder=escape(str(config["model"].get("name", result.choice["model"]))),
        head=escape(str(result.choice.get("head", "token"))),
        loss=escape(result.setting),
        seed=result.seed,
        metric=result.metric.label,
        choice=f" {escape(chosen.choice)}" if chosen.choice else "",
        scores=score_tables(result),
        data=f"{escape(result.choice['data'])}, checksum `{data.checksum[:16]}`.",
        split_table=f"{table(('split', 'sentences'), rows)}\n\n"
        f"{table(('type', 'entities in training'), entities)}",
        command=command,
        facts=facts,
        settings=table(("setting", "value"), [(k, str(v)) for k, v in parameters]),
        notes=f"\n## Notes\n\n{notes}" if notes else "",
        python=TRANSFORMERS if is_plain else NERSWEEP,
    )


def score_tables(result: FinishedResult) -> str:
    """Return the scores of both splits, and those of the types on test, in percent."""
    header = ("split", "F1", "precision", "recall", "macro F1", "strict F1")
    rows: list[Sequence[str]] = []
    for split in ("dev", "test"):
        scores: Scores = result.scores(split)
        values = (scores.f1, scores.precision, scores.recall, scores.macro_f1, scores.strict.f1)
        rows.append((split, *(f"{100 * value:.2f}" for value in values)))
    types: list[Sequence[str]] = []
    for name, of_type in result.test.types.items():
        rates = (of_type.f1, of_type.precision, of_type.recall)
        shares = [f"{100 * rate:.2f}" for rate in rates]
        types.append((name, *shares, f"{of_type.support:,}"))
    by_type = table(("type, test", "F1", "precision", "recall", "entities"), types)
    return f"{table(header, rows)}\n\n{by_type}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, with the content escaped."""
    escaped: list[list[str]] = []
    for row in rows:
        escaped.append([escape(cell) for cell in row])
    return grid(header, escaped, "pipe")


def metadata(name: str, result: FinishedResult, is_plain: bool) -> str:
    """Return the block that the hub reads: task, library, base model and measured scores."""
    metrics: list[Mapping[str, Any]] = []
    for kind in ("f1", "precision", "recall"):
        value = round(getattr(result.test, kind), 6)
        metrics.append({"type": kind, "value": value, "name": f"{kind} on test"})
    dataset = result.choice["data"]
    values: dict[str, Any] = {
        "pipeline_tag": "token-classification",
        "library_name": "transformers" if is_plain else "nersweep",
        "tags": ["named-entity-recognition", "nersweep"],
    }
    base = str(result.config["model"].get("name", ""))
    if re.fullmatch(r"[\w.-]+/[\w.-]+", base) and not Path(base).exists():
        values["base_model"] = base
    task = {"type": "token-classification", "name": "Named-entity recognition"}
    measured = {"task": task, "dataset": {"name": dataset, "type": dataset}, "metrics": metrics}
    values["model-index"] = [{"name": name, "results": [measured]}]
    return f"---\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}---\n\n"
