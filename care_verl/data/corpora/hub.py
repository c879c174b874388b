"""Where a corpus lies: a folder in the hub's layout, here already or fetched from the hub."""

from collections.abc import Sequence
from pathlib import Path

from care_verl.common.hub import HubError, fetched, is_hub_id
from care_verl.data.corpora.source import SourceError


def located(source: str, patterns: Sequence[str]) -> Path:
    """The folder of `source`, a local folder or the id of a data set on the Hugging Face hub.

    patterns: the files that are needed, as the hub names them.

    Raises SourceError when the folder is not there or the hub cannot be reached.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder.absolute()
    if not is_hub_id(source):
        raise SourceError(
            f"{source}: no such folder, and no hub id; expected a folder that holds "
            f"{', '.join(patterns)}, or an id such as owner/name"
        )
    try:
        return fetched(source, patterns)
    except HubError as error:
        raise SourceError(
            f"{error}. Place its files {', '.join(patterns)} under those names in a folder, and "
            "give the folder's path as SOURCE: care-verl data prepare CORPUS SOURCE --out DIR"
        ) from error
