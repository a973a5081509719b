"""The Hugging Face hub: one request before anything is downloaded, and its data sets."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

from nersweep.data.corpus import SPLITS, Corpus, Sentence
from nersweep.data.files import read_utf8
from nersweep.data.splits import Tagged
from nersweep.data.tables import Columns, Table, choose, from_arrow, read_table
from nersweep.faults import Fault, UserError, reason
from nersweep.terminal import console

SECONDS = 10  # for the hub to answer
NAMES = {"train": ("train",), "dev": ("validation", "dev", "valid"), "test": ("test",)}  # of splits


class HubError(OSError):
    """Raised when the hub does not deliver a file; str() gives the reason in a few words."""


def ask(name: str, file: str, revision: str | None, kind: str = "model") -> None:
    """Ask the hub for a file of a repository, unless it is cached, and print that it is asked.

    Otherwise the hub's own library asks six times, with a warning each, for more than 23 s without
    a network; it has no setting for that. kind: model or dataset. Raises HubError.
    """
    try:
        if try_to_load_from_cache(name, file, revision=revision, repo_type=kind) is None:
            console.print(f"asking the hub for {name}")
            url = hf_hub_url(name, file, revision=revision, repo_type=kind)
            get_hf_file_metadata(url, timeout=SECONDS)
    except errors.GatedRepoError:
        raise HubError("it is gated: accept its terms on the hub, then run hf auth login") from None
    except errors.RepositoryNotFoundError:
        raise HubError(f"the hub has no {kind} of that name, or it is private") from None
    except errors.RevisionNotFoundError:
        raise HubError(f"the hub has no revision {revision} of it") from None
    except errors.EntryNotFoundError:
        if kind == "model":
            raise HubError(f"it has no {file}") from None
    except errors.HFValidationError:
        raise HubError("neither a folder nor a name of the form OWNER/NAME") from None
    except errors.OfflineModeIsEnabled:
        raise HubError("HF_HUB_OFFLINE is set, and no earlier run has fetched it") from None
    except Exception as error:  # of the network: the library's errors share no base class
        raise HubError(f"the hub does not answer: {reason(error)}") from None


def load_dataset(path: str, revision: str, columns: Columns) -> dict[str, list[Sentence]]:
    """Return train, dev and test of a data set on the hub. columns: our names to the hub's.

    Raises HubError, and UserError for columns or splits that it lacks.
    """
    tables = read_tables(path, revision, None, columns)
    splits: dict[str, list[Sentence]] = {}
    for split, name in splits_of(path, tables, None).items():
        splits[split], _ = read_table(tables[name], columns)
    return splits


def read_tables(
    path: str, revision: str | None, config: str | None, columns: Columns | None
) -> dict[str, Table]:
    """Return the splits of a data set on the hub, or of a folder that `save_to_disk` wrote.

    config, columns: see `HubData`. No script of a data set runs. Raises HubError, and UserError for
    columns that it lacks.
    """
    import datasets  # costs a second, and most runs read local files

    try:
        if Path(path).is_dir():
            refuse_other_files(Path(path))
            parts = datasets.load_from_disk(path)
        else:
            ask(path, "README.md", revision, "dataset")  # the file that load_dataset begins with
            chosen = {"name": config} if config else {}
            builder = datasets.load_dataset_builder(path, revision=revision, **chosen)
            refuse_outside(builder.config.data_files)
            builder.download_and_prepare()
            parts = builder.as_dataset()
    except HubError:
        raise
    except Exception as error:  # the hub's errors share no base class
        raise HubError(reason(error)) from None
    tables: dict[str, Table] = {}
    for split, part in (parts if isinstance(parts, dict) else {"train": parts}).items():
        file = f"{path}:{split}"
        used = choose(file, part.column_names, columns).values()
        table = part.select_columns(list(used)).with_format("arrow")[:]
        tables[split] = from_arrow(file, part.column_names, table)
    return tables


def refuse_other_files(folder: Path) -> None:
    """Raise HubError unless a folder is one of `save_to_disk`, whose files all lie in it."""
    splits, states = folder / "dataset_dict.json", [folder / "state.json"]
    if splits.exists():
        names = json.loads(read_utf8(splits))["splits"]
        refuse_elsewhere(splits, names)
        states = [folder / name / "state.json" for name in names]
    elif not states[0].exists():
        raise HubError("a folder, but none of save_to_disk: it has no state.json")
    for state in states:
        files = json.loads(read_utf8(state))["_data_files"]
        refuse_elsewhere(state, [file["filename"] for file in files])


def refuse_elsewhere(file: Path, names: Sequence[str]) -> None:
    """Raise HubError if one of the names in a file leads out of its folder."""
    for name in names:
        if Path(name).name != name or name == "..":
            raise HubError(f"{file} leads to another folder: {name}")


def refuse_outside(files: Mapping[str, Sequence[str]] | None) -> None:
    """Raise HubError if a README names a file outside of the hub: on this machine or the web.

    files: of each split, as the library has resolved them; None if it has them in its cache.
    """
    for names in (files or {}).values():
        for name in names:
            *_, origin = name.split("::")  # after the archives that it lies in
            if not origin.startswith("hf://datasets/"):
                raise HubError(f"its README leads to a file outside of the hub: {name}")


def splits_of(
    path: str, tables: Mapping[str, Table], given: Mapping[str, str] | None
) -> dict[str, str]:
    """Return the names of the splits to read, by ours. Raises UserError for one that is missing."""
    if given is None:
        names: dict[str, str] = {}
        for split, candidates in NAMES.items():
            for name in candidates:
                if name in tables:
                    names.setdefault(split, name)
    else:
        names = dict(given)
    unknown = sorted(set(names.values()) - set(tables))
    if unknown or "train" not in names:
        must = f"no split {', '.join(unknown) or 'train'} in {path}"
        remedy = f"it has {', '.join(tables)}; set data.splits={{train: NAME, …}}"
        raise UserError(Fault("data.splits", names, must, remedy))
    return names


@dataclass(frozen=True, kw_only=True)
class HubData(Tagged):
    """Any data set on the hub with words and tags, or a folder that `save_to_disk` wrote.

    name: OWNER/NAME, or the folder; config and revision: those of the hub. splits: train and, where
    they exist, dev and test, to the names of the data set; None: train, validation and test.
    columns, labels: as in `TableFiles`. Raises UserError for other splits than these.
    """

    format = "hub"

    name: str
    config: str | None = None
    revision: str | None = None
    splits: Mapping[str, str] | None = None
    columns: Columns | None = None
    labels: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if not {"train"} <= set(self.splits or SPLITS) <= set(SPLITS):
            must = "must name train, and may name dev and test"
            raise UserError(Fault("splits", dict(self.splits or {}), must))
        super().__post_init__()

    def given(self) -> set[str]:
        return set(self.splits or ())  # unknown before the hub has answered

    def load(self) -> Corpus:
        try:
            tables = read_tables(self.name, self.revision, self.config, self.columns)
        except HubError as error:
            must = f"cannot be read ({error})"
            raise UserError(Fault("data.name", self.name, must)) from None
        splits = splits_of(self.name, tables, self.splits)
        try:
            data = replace(self, splits=splits)
        except UserError as error:
            faults = [replace(fault, setting=f"data.{fault.setting}") for fault in error.faults]
            raise UserError(*faults) from None
        return data.corpus(tables)

    def corpus(self, tables: Mapping[str, Table]) -> Corpus:
        """Return the corpus of these tables, whose splits are known."""
        splits: dict[str, list[Sentence]] = {}
        notes: list[str] = []
        for split, name in (self.splits or {}).items():
            splits[split], note = read_table(tables[name], self.columns, self.labels)
            notes.append(note)
        source = f"{self.name}@{self.revision}" if self.revision else self.name
        corpus = self.assemble(source, splits)
        return replace(corpus, notes=(*notes, *corpus.notes))
