"""The objects of a JSON file that is one long list, one at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ijson

from care_verl.data.corpora.source import SourceError

_BUFFER = 1 << 16


def json_items(path: Path) -> Iterator[dict[str, Any]]:
    """The list's objects in order; a few are in memory, whatever the size of the file.

    Raises SourceError when the file is missing, is no JSON (with the place in bytes), or holds
    anything but a list of objects.
    """
    if not path.is_file():
        raise SourceError(f"{path} does not exist; expected it beside the other file of the corpus")
    with path.open("rb") as file:
        _require_list(path, file.peek(_BUFFER)[:_BUFFER])
        items = enumerate(ijson.items(file, "item", use_float=True, buf_size=_BUFFER))
        try:
            for number, item in items:
                if not isinstance(item, dict):
                    raise SourceError(f"{path}, item {number}: {item!r:.60} is no JSON object")
                yield item
        except ijson.JSONError as error:
            last = file.tell()
            raise SourceError(
                f"{path}: broken JSON between bytes {max(0, last - _BUFFER):,} and {last:,} "
                f"({' '.join(str(error).split())}). Fetch the file again."
            ) from error


def _require_list(path: Path, head: bytes) -> None:
    start = head.lstrip()[:1]
    if start not in (b"[", b""):
        raise SourceError(
            f"{path} begins with {start.decode(errors='replace')!r}; expected a JSON list: ["
        )
