"""Where a corpus lies: a folder in the hub's layout, here already or fetched from the hub."""

import re
from collections.abc import Sequence
from pathlib import Path

from care_verl.data.corpora.source import SourceError

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def located(source: str, patterns: Sequence[str]) -> Path:
    """The folder of `source`, a local folder or the id of a data set on the Hugging Face hub.

    patterns: the files that are needed, as the hub names them.

    Raises SourceError when the folder is not there or the hub cannot be reached.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder.absolute()
    if not _HUB_ID.fullmatch(source):
        raise SourceError(
            f"{source}: no such folder, and no hub id; expected a folder that holds "
            f"{', '.join(patterns)}, or an id such as owner/name"
        )
    return _fetched(source, patterns)


def _fetched(repository: str, patterns: Sequence[str]) -> Path:
    # Slow to import, and needed for sources that are not here yet alone.
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(repository, repo_type="dataset", allow_patterns=list(patterns))
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, httpx.HTTPError) as error:
        raise SourceError(
            f"{repository} cannot be fetched from the hub ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else 'no details'}). Place its files "
            f"{', '.join(patterns)} under those names in a folder, and give the folder's path as "
            "SOURCE: care-verl data prepare CORPUS SOURCE --out DIR"
        ) from error
