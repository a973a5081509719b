"""The Hugging Face hub: one request before anything is downloaded, and its data sets."""

from collections.abc import Mapping

from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

from nersweep.data.corpus import Sentence
from nersweep.faults import reason
from nersweep.terminal import console

SECONDS = 10  # for the hub to answer
SPLITS = {"train": "train", "dev": "validation", "test": "test"}  # ours to the hub's


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


def load_dataset(path: str, revision: str, columns: Mapping[str, str]) -> dict[str, list[Sentence]]:
    """Return the splits of a data set on the hub.

    columns: our names to the hub's; "document" is one value for each sentence, the others are one
    for each word. Label ids differ between copies, so labels are mapped by name.
    Raises HubError.
    """
    import datasets  # costs a second, and most runs read local files

    ask(path, "README.md", revision, "dataset")  # the file that load_dataset begins with
    try:
        parts = datasets.load_dataset(path, revision=revision)
    except Exception as error:  # the hub's errors share no base class
        raise HubError(reason(error)) from None
    columns = dict(columns)
    document = columns.pop("document", None)
    splits: dict[str, list[Sentence]] = {}
    for split, hub_split in SPLITS.items():
        part = parts[hub_split]
        names: dict[str, list[str]] = {}
        for column, hub_column in columns.items():
            names[column] = getattr(part.features[hub_column].feature, "names", [])
        splits[split] = []
        for example in part:
            values = {}
            for column, hub_column in columns.items():
                cells = example[hub_column]
                if names[column]:
                    cells = [names[column][label] for label in cells]
                values[column] = tuple(cells)
            words, tags = values.pop("word"), values.pop("tag")
            if words:
                id_ = example[document] if document else None
                splits[split].append(Sentence(words, tags, values, id_))
    return splits
