"""The Hugging Face hub, asked once before anything is fetched from it."""

from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

from nersweep.faults import reason
from nersweep.terminal import console

SECONDS = 10  # for the hub to answer


def ask(name: str, file: str, revision: str | None, kind: str = "model") -> None:
    """Asks the hub for a file of a repository, unless an earlier run has fetched it. Says so, as it takes time.

    Without this the hub's own library asks six times, with a warning each, for more than 23 s where there is no
    network; it has no setting for that. kind: model or dataset. Raises ValueError with the reason in a few words.
    """
    try:
        if try_to_load_from_cache(name, file, revision=revision, repo_type=kind) is None:
            console.print(f"asking the hub for {name}")
            get_hf_file_metadata(
                hf_hub_url(name, file, revision=revision, repo_type=kind), timeout=SECONDS
            )
    except errors.GatedRepoError:
        raise ValueError(
            "it is gated: accept its terms on the hub, then type hf auth login"
        ) from None
    except errors.RepositoryNotFoundError:
        raise ValueError(f"the hub has no {kind} of that name, or it is private") from None
    except errors.RevisionNotFoundError:
        raise ValueError(f"the hub has no revision {revision} of it") from None
    except errors.EntryNotFoundError:
        if kind == "model":
            raise ValueError(f"it has no {file}") from None
    except errors.HFValidationError:
        raise ValueError("neither a folder nor a name of the form OWNER/NAME") from None
    except errors.OfflineModeIsEnabled:
        raise ValueError("HF_HUB_OFFLINE is set, and no earlier run has fetched it") from None
    except Exception as error:  # of the network: the library's errors share no base class
        raise ValueError(f"the hub does not answer: {reason(error)}") from None
