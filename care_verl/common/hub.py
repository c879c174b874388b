"""Data sets and models on the Hugging Face hub: what is an id, and a data set's files fetched."""

import re
from collections.abc import Sequence
from pathlib import Path

from care_verl.common.errors import CareVerlError

_ID = re.compile(r"[\w.-]+/[\w.-]+")


class HubError(CareVerlError):
    """The hub did not give what was asked for; the message names the repository and the reason."""


def is_hub_id(source: str) -> bool:
    """Whether `source` has the form owner/name."""
    return _ID.fullmatch(source) is not None


def fetched(data_set: str, patterns: Sequence[str]) -> Path:
    """The folder of a data set's files that match `patterns`, from the hub or from its cache.

    Raises HubError when the hub cannot be reached, or refuses.
    """
    # Slow to import, and needed only for what is not here yet.
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        found = snapshot_download(data_set, repo_type="dataset", allow_patterns=list(patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, httpx.HTTPError) as error:
        reason = (str(error).splitlines() or ["no details"])[0]
        raise HubError(
            f"{data_set} cannot be fetched from the hub ({type(error).__name__}: {reason})"
        ) from error
    return Path(found)
