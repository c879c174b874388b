"""What tells a whole checkpoint: a list of its files, written when all of them are there."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from care_verl.common.files import write_text

MANIFEST = "complete.json"
UNFINISHED = "unfinished"
EXPORT = "huggingface"
"""verl's folder for configuration, tokenizer and, on request, merged weights. A resumed run reads
none of it, and users merge into it later."""

DATALOADER = "data.pt"
_LISTED = 3
"""Files that a message names."""


def begin(folder: Path) -> None:
    """Before a save: what is in the folder from now on is no checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / UNFINISHED, "")
    (folder / MANIFEST).unlink(missing_ok=True)


def complete(folder: Path, step: int) -> None:
    """After a save: write down what there is, as far as this node sees it."""
    files = _files(folder)
    for path in files.values():
        _flush(path)
    sizes = {name: path.stat().st_size for name, path in sorted(files.items())}
    record = {"step": step, "saved": time.time(), "files": sizes}
    write_text(folder / MANIFEST, json.dumps(record, indent=1))
    (folder / UNFINISHED).unlink()


def problem(folder: Path, named: bool) -> str | None:
    """Why a folder is not a whole checkpoint; None where it is.

    `named`: verl's tracker or the user names it. Only then one without a manifest counts, which
    verl wrote without CARE; the last file that verl writes must be there.
    """
    if not folder.is_dir():
        return "there is no such folder"
    if (folder / MANIFEST).exists():
        return _difference(folder)
    if (folder / UNFINISHED).exists():
        return "its save was not finished"
    if not named:
        return f"it has no {MANIFEST}, and the tracker does not name it"
    missing = not (folder / DATALOADER).exists()
    return f"it has neither {MANIFEST} nor {DATALOADER}" if missing else None


def saved_at(folder: Path) -> float:
    """When the checkpoint was complete, in seconds since the epoch; 0 if it never was."""
    if (folder / MANIFEST).exists():
        return float(json.loads((folder / MANIFEST).read_text())["saved"])
    last = folder / DATALOADER
    return last.stat().st_mtime if last.exists() else 0.0


def _difference(folder: Path) -> str | None:
    expected: dict[str, int] = json.loads((folder / MANIFEST).read_text())["files"]
    found = {name: path.stat().st_size for name, path in _files(folder).items()}
    wrong = [
        f"{name} has {found[name]} of {size} bytes" if name in found else f"{name} is missing"
        for name, size in expected.items()
        if found.get(name) != size
    ]
    return "; ".join(wrong[:_LISTED]) or None


def _files(folder: Path) -> dict[str, Path]:
    """Every file that a resumed run needs, by its path in the folder."""
    paths = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {
        name.as_posix(): path
        for name, path in paths.items()
        if name.as_posix() not in (MANIFEST, UNFINISHED) and EXPORT not in name.parts
    }


def _flush(path: Path) -> None:
    """Bring a file to the disk: a machine that goes down must not leave sizes without contents."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
