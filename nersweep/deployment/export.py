"""Export a run's model: a folder that is ready for the hub, and a version in MLflow's registry."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from nersweep.command.keywords import keyword
from nersweep.deployment import onnx
from nersweep.deployment.card import model_card
from nersweep.deployment.models import ChosenModel, ModelChoice, find_model, load_tagger_of
from nersweep.faults import Fault, UserError
from nersweep.machine.databases import public
from nersweep.machine.files import writable, write_text
from nersweep.model.heads.token import TokenHead
from nersweep.model.saved import SavedTagger, hide_base_path
from nersweep.results.result import RESULT, FinishedResult, read_result
from nersweep.terminal import console
from nersweep.tracking.reading import Store, run_id_of
from nersweep.tracking.registry import register
from nersweep.tracking.stores import open_store, store_uri


@dataclass
class ModelExport(ModelChoice):
    """What to export of a model, and where."""

    to: str | None = keyword("a new folder for the model and its card")
    onnx: str = keyword(
        "true adds model.onnx, which needs pip install -e '.[onnx]' (false)", "false"
    )
    register: str | None = keyword("a name in MLflow's model registry, for a new version of it")
    uri: str | None = keyword(
        "MLflow's address (mlflow.db in output_dir)", name="tracking.uri", nullable=True
    )


def export_model(options: ModelExport) -> None:
    """Export the model that the options name. Raises UserError before anything is written."""
    if options.to is None and options.register is None:
        raise UserError(Fault("to", must="must be given", remedy="set to=DIR or register=NAME"))
    if options.onnx not in ("true", "false") or (options.onnx == "true" and options.to is None):
        must = "must be true or false, beside to=DIR"
        raise UserError(Fault("onnx", options.onnx, must))
    chosen = find_model(options)
    if chosen.run is None:
        must = "lies apart from its run, so its scores are unknown"
        raise UserError(Fault("model", options.model, must, "set model=RUN"))
    result = read_result(chosen.run / RESULT)
    assert isinstance(result, FinishedResult), "find_model has looked"
    refuse_links(chosen.folder)
    if options.register is not None:
        store, run_id = run_in_mlflow(options.register, chosen, options)
    tagger = load_tagger_of(chosen)
    is_plain = reads_alike(tagger)
    if options.onnx == "true":
        onnx.check(is_plain)
    if options.to is not None:
        place = free_folder(Path(options.to))
        card = model_card(place.absolute().name, chosen, result, tagger.labels.types, is_plain)
        write_folder(place, chosen, card, with_onnx=options.onnx == "true")
        console.print(f"model: {place}")
        console.print(f"to share it: hf upload OWNER/{place.absolute().name} {place}")
    if options.register is not None:
        version = register(store, run_id, options.register, chosen.folder)
        console.print(f"registered: models:/{options.register}/{version}")


def refuse_links(folder: Path) -> None:
    """Raise UserError for a link in a model's folder: what it leads to would be published."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            must = "a link in a model's folder, which is not exported"
            raise UserError(Fault(str(path), must=must, remedy="replace it by the file"))


def reads_alike(tagger: SavedTagger) -> bool:
    """Return whether transformers alone reads a model as it was trained."""
    encoder, head = tagger.tagger.encoder, tagger.tagger.head
    is_whole = encoder.adapter is None and not encoder.reading.last
    return is_whole and type(head) is TokenHead and not head.constrained


def free_folder(place: Path) -> Path:
    """Return a folder that is missing or empty. Raises UserError for any other, and for a link."""
    is_free = not place.exists() or (place.is_dir() and not any(place.iterdir()))
    if place.is_symlink() or not is_free:
        raise UserError(Fault("to", place, "exists already", "set another folder"))
    writable(place.absolute().parent, "to")
    return place


def write_folder(place: Path, chosen: ChosenModel, card: str, with_onnx: bool) -> None:
    """Write the folder whole or not at all."""
    beside = place.absolute().with_name(f".{place.absolute().name}.{uuid4().hex}")
    try:
        shutil.copytree(chosen.folder, beside)
        hide_base_path(beside)
        write_text(beside / "README.md", card)
        if with_onnx:
            difference = onnx.write(beside)
            console.print(f"model.onnx: logits differ from torch's by {difference:.1e} at most")
        beside.rename(place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def run_in_mlflow(name: str, chosen: ChosenModel, options: ModelExport) -> tuple[str, str]:
    """Return MLflow's address, and the id of a model's run there.

    name: that the model is to be registered by. Raises UserError if MLflow lacks the run.
    """
    assert chosen.run, "checked"
    uri = store_uri(options.uri, Path(options.output_dir))
    run_id = run_id_of(chosen.run, uri)
    if run_id is not None:
        store = open_store(uri, Path(options.output_dir))
        if Store(store).has(run_id):
            return store, run_id
    remedy = "add it with python -m nersweep.sync"
    must = f"the run {chosen.run.name} is not in MLflow ({public(uri)})"
    raise UserError(Fault("register", name, must, remedy))
