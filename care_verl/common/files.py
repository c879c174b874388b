"""Outputs that are whole or absent: built under another name, renamed when they are done."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def all_or_nothing(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder`, which takes its name when the block ends without an error.

    What an interrupted block left behind is removed by the next one.
    """
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    yield unfinished
    unfinished.rename(folder)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes its name when the block ends without an error."""
    unfinished = path.with_name(path.name + ".partial")
    with unfinished.open("wb") as file:
        yield file
        file.flush()
        # Some file systems tell of a full disk only here; renamed before, the file would look whole
        # and not be.
        os.fsync(file.fileno())
    unfinished.rename(path)


def write_text(path: Path, text: str) -> None:
    """Write a text file that is whole or absent."""
    with whole_file(path) as file:
        file.write(text.encode())
