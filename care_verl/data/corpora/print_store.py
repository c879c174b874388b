"""Fingerprints on disk while a mixture is made: to look at every image is what takes its time.

Beside the target, in `.<name>.prints`, each corpus has a file of JSON lines, one a row. A mixture
that was interrupted reads them when it is started again, and goes on behind the last whole line.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from care_verl.common.files import write_text
from care_verl.data.corpora.fingerprints import ImagePrint
from care_verl.data.corpora.row_prints import BATCH_ROWS, RowPrint, row_prints

_MANIFEST = "manifest.json"


def prints_folder(out: Path) -> Path:
    """Where the fingerprints for the mixture `out` are kept until it is written."""
    return out.with_name(f".{out.name}.prints")


def stored_prints(files: Sequence[Path], folder: Path) -> Iterator[RowPrint]:
    """The fingerprints of all rows of `files`, in order; those in `folder` are not made again.

    What `folder` holds of other files, or of files that have changed since, is discarded.

    Raises what `row_prints` raises.
    """
    _open(files, folder)
    for number, file in enumerate(files):
        yield from _prints_of(file, folder / f"{number}.jsonl")


def _open(files: Sequence[Path], folder: Path) -> None:
    stats = [(str(file.absolute()), file.stat()) for file in files]
    wanted = json.dumps([[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats])
    manifest = folder / _MANIFEST
    if manifest.exists() and manifest.read_text() == wanted:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.iterdir():
        stale.unlink()
    write_text(manifest, wanted)


def _prints_of(file: Path, store: Path) -> Iterator[RowPrint]:
    done = 0
    if store.exists():
        _drop_torn_line(store)
        with store.open(encoding="utf-8") as lines:
            for line in lines:
                yield _decoded(file, json.loads(line))
                done += 1
    with store.open("a", encoding="utf-8") as lines:
        coming = row_prints(file, done)
        while prints := list(islice(coming, BATCH_ROWS)):
            lines.writelines(json.dumps(_encoded(one)) + "\n" for one in prints)
            lines.flush()
            yield from prints


def _drop_torn_line(store: Path) -> None:
    data = store.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        store.write_bytes(data[:whole])


def _encoded(one: RowPrint) -> dict[str, Any]:
    return {
        "row": one.row,
        "source": one.source,
        "source_id": one.source_id,
        "question": one.question,
        "gold": one.gold,
        "choices": one.choices,
        "images": [[image.pixels.hex(), image.look.tobytes().hex()] for image in one.images],
    }


def _decoded(file: Path, line: dict[str, Any]) -> RowPrint:
    images = tuple(
        ImagePrint(bytes.fromhex(pixels), np.frombuffer(bytes.fromhex(look), dtype=np.uint64))
        for pixels, look in line.pop("images")
    )
    choices = line.pop("choices")
    return RowPrint(
        file=file, **line, choices=None if choices is None else tuple(choices), images=images
    )
