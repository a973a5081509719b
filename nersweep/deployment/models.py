"""Find the model that a command names: a run's, by folder or by name, or the best of a sweep."""

import difflib
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import transformers

from nersweep.command.keywords import keyword
from nersweep.faults import Fault, UserError
from nersweep.machine.device import choose_device
from nersweep.model.saved import HEAD, PRECISIONS, SavedTagger
from nersweep.report.report import compare_sets
from nersweep.report.sources import ReportOptions, select_runs
from nersweep.results.folder import folders_named
from nersweep.results.result import RESULT, Status, read_result
from nersweep.terminal import console

BEST = "best"


@dataclass
class ModelChoice:
    """Which model a command uses."""

    model: str | None = keyword("a run's folder or name, its model's folder, or best of a sweep")
    sweep: str | None = keyword("name or folder of the sweep of model=best (the last sweep)")
    output_dir: str = keyword("where the runs are (outputs)", "outputs")


@dataclass
class ModelOptions(ModelChoice):
    """Which model a command uses, and how it computes."""

    device: str = keyword("auto, cpu, cuda or cuda:N (auto)", "auto")
    precision: str | None = keyword("fp32 or bf16 (that in which the run was scored)")
    thresholds: str = keyword("none, tau or types: those that the run chose on dev (none)", "none")


@dataclass(frozen=True)
class ChosenModel:
    """The folder of a saved model, and that of its run; None if it lies elsewhere.

    choice: why a sweep's report takes it, "" if the user has named it.
    """

    folder: Path
    run: Path | None = None
    choice: str = ""

    @property
    def name(self) -> str:
        return (self.run or self.folder).absolute().name


def load_tagger(options: ModelOptions, chosen: ChosenModel) -> SavedTagger:
    """Load a model. Raises UserError for a folder that is no run's, and for wrong options."""
    dtype: torch.dtype | None = None
    if options.precision is not None:
        if options.precision not in ("fp32", "bf16"):
            raise UserError(Fault("precision", options.precision, "must be fp32 or bf16"))
        dtype = PRECISIONS["bfloat16" if options.precision == "bf16" else "float32"]
    device = str(choose_device(options.device))
    return load_tagger_of(chosen, device, dtype, options.thresholds)


def load_tagger_of(
    chosen: ChosenModel,
    device: str = "cpu",
    dtype: torch.dtype | None = None,
    thresholds: str = "none",
) -> SavedTagger:
    """Load a model as `SavedTagger` does, without what transformers prints."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return SavedTagger(chosen.folder, device, dtype, thresholds)


def find_model(options: ModelChoice) -> ChosenModel:
    """Return the model that the options name.

    Raises UserError for an unknown name, a run without a model, and a folder of another project.
    """
    name, output_dir = options.model, Path(options.output_dir)
    if name is None:
        must = "must be given, as in model=RUN: a run's folder or name, its model's folder, or best"
        raise UserError(Fault("model", must=must))
    if name == BEST:
        return best_of_sweep(options)
    if options.sweep is not None:
        raise UserError(Fault("sweep", options.sweep, "selects a run for model=best only"))
    place = Path(name)
    if (place / HEAD).is_file():
        is_of_run = place.name == "model" and (place.parent / RESULT).is_file()
        return model_of(place.parent) if is_of_run else ChosenModel(place)
    if (place / RESULT).is_file() or (place / "model" / HEAD).is_file():
        return model_of(place)
    folders = folders_named(name, output_dir, RESULT)
    if len(folders) > 1:
        names = ", ".join(folder.name for folder in folders)
        raise UserError(Fault("model", name, f"several runs have this name: {names}"))
    if folders:
        return model_of(folders[0])
    if place.is_dir():
        must = f"neither a run of nersweep (no {RESULT} in it) nor a run's model (no {HEAD})"
        raise UserError(Fault("model", name, must))
    raise UserError(unknown(name, output_dir))


def model_of(run: Path) -> ChosenModel:
    """Return the model of a run. Raises UserError for a run that has not finished, or kept none."""
    model, has_result = run / "model", (run / RESULT).is_file()
    if has_result:
        status = read_result(run / RESULT).status
        if status is not Status.FINISHED:
            remedy = "its command resumes it" if not status.over else "choose another run"
            must = f"this run has no model, since it has not finished ({status})"
            raise UserError(Fault("model", run, must, remedy))
    if not (model / HEAD).is_file():
        must = "this run kept no model"
        raise UserError(Fault("model", run, must, "its command with rerun=true trains it again"))
    return ChosenModel(model, run if has_result else None)


def unknown(name: str, output_dir: Path) -> Fault:
    """Return the fault of a name that no run has, with the nearest ones."""
    runs = output_dir / "runs"
    names: list[str] = []
    for file in sorted(runs.glob(f"*/{RESULT}")):
        names.append(file.parent.name)
    near = difflib.get_close_matches(name, names, cutoff=0.4)
    remedy = f"the nearest are {', '.join(near)}" if near else ""
    if not names:
        remedy = f"{runs} has no run; set output_dir=DIR"
    return Fault("model", name, f"no such folder, and no run of this name in {runs}", remedy)


def best_of_sweep(options: ModelChoice) -> ChosenModel:
    """Return the model that the report of a sweep takes, and print which that is.

    Raises UserError if no run of the sweep has finished, and for a sweep of several sets of runs.
    """
    report = ReportOptions(sweep=options.sweep, output_dir=options.output_dir)
    selection = select_runs(report)
    comparisons, _ = compare_sets(selection, report.baseline, report.points)
    if len(comparisons) > 1:
        must = f"has a best for each of {', '.join(comparisons)}"
        remedy = "set model=RUN to the one whose model the report names"
        raise UserError(Fault("sweep", options.sweep or selection.title, must, remedy))
    (comparison,) = comparisons.values()
    decision = comparison.decision
    assert decision.folder, "a sweep's runs have folders"
    console.print(f"{decision.choice}. {decision.model}")
    chosen = model_of(decision.folder)
    return replace(chosen, choice=f"Of {selection.title}: {decision.choice}. {decision.certainty}")
