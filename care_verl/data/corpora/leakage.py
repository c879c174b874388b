"""Rows of a mixture that stand in an evaluation set.

A row leaks when an image of it looks like one of an evaluation row *and* the questions are equal
(`question_key`): it is dropped. A row that shares only the image stays and is listed: charts are
used again with other questions, and a model that has seen the chart has not seen the answer.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from care_verl.common.jsonl import Malformed, json_objects
from care_verl.data.corpora.cached_rows import streamed_rows
from care_verl.data.corpora.fingerprints import ImageFingerprint, question_key, stacked
from care_verl.data.corpora.look_index import LookIndex
from care_verl.data.corpora.row_fingerprints import (
    RowFingerprint,
    image_fingerprints,
    parquet_schema,
)

# As evaluation sets call them; the first that a file has is taken. MathVista's and MATH-Vision's
# `image` is a path into an archive, their `decoded_image` holds the picture.
IMAGE_COLUMNS = ("images", "decoded_image", "image")
QUESTION_COLUMNS = ("question", "query", "problem", "prompt")
_NUMBERED = re.compile(r"image_\d+")


@dataclass(frozen=True)
class EvaluationColumns:
    """Columns of the evaluation files; None: the first known one that a file has."""

    image: str | None = None
    question: str | None = None


@dataclass(frozen=True)
class EvaluationFingerprint:
    """One row of an evaluation file that has an image."""

    file: Path
    row: int
    question: str
    images: tuple[ImageFingerprint, ...]


@dataclass(frozen=True)
class Match:
    """Row number `row` of the mixture has an image of `evaluation`; `asked`: its question too."""

    row: int
    evaluation: EvaluationFingerprint
    asked: bool


def evaluation_fingerprints(
    path: Path, columns: EvaluationColumns
) -> Iterator[EvaluationFingerprint]:
    """The rows of an evaluation file, parquet or JSON lines; rows without an image are left out.

    An image column holds bytes, a struct with `bytes` or `path`, a path relative to the file, or a
    list of these; columns `image_1`, `image_2`, … are read together.

    Raises:
        ValueError: the columns are not found (it says which there are), an image does not open, or
            a line is no JSON object.
        FileNotFoundError: the file, or an image it names, does not exist.
    """
    names = _columns_of(path)
    images = _image_columns(path, names, columns.image)
    question = _question_column(path, names, columns.question)
    for number, row in _rows(path, [*images, question]):
        parts = [data for name in images for data in _encoded(row[name], path, number)]
        if parts:
            key = question_key(row[question] or "")
            yield EvaluationFingerprint(path, number, key, image_fingerprints(parts, path, number))


def find_matches(
    rows: Sequence[RowFingerprint], evaluation: Sequence[EvaluationFingerprint], distance: int
) -> list[Match]:
    """The rows that share an image with an evaluation row; one match a row, a leak if there is one.

    Images within `distance` bits of their perceptual hashes are taken for one.
    """
    owners = [entry for entry in evaluation for _ in entry.images]
    index = LookIndex(stacked([image.look for e in evaluation for image in e.images]), distance)
    numbers = [number for number, row in enumerate(rows) for _ in row.images]
    looks = stacked([image.look for row in rows for image in row.images])
    matches: dict[int, Match] = {}
    for number, places in zip(numbers, index.near(looks), strict=True):
        for place in places:
            asked = owners[place].question == rows[number].question
            if number not in matches or (asked and not matches[number].asked):
                matches[number] = Match(number, owners[place], asked)
    return list(matches.values())


def _columns_of(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f"evaluation file {path} does not exist")
    if path.suffix == ".parquet":
        return list(parquet_schema(path).names)
    if path.suffix == ".jsonl":
        return next((list(row) for _, row in _json_rows(path)), [])
    raise ValueError(f"{path}: expected a name that ends in .parquet or .jsonl")


def _rows(path: Path, names: Sequence[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if path.suffix == ".parquet":
        yield from enumerate(streamed_rows(path, names))
        return
    for number, row in _json_rows(path):
        missing = [name for name in names if name not in row]
        if missing:
            raise ValueError(f"{path}, row {number}: no {missing[0]!r}; it has {', '.join(row)}")
        yield number, row


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(json_objects(path)):
        if isinstance(line, Malformed):
            raise ValueError(f"{line.where}: {line.reason}")
        yield number, line[1]


def _image_columns(path: Path, names: Sequence[str], asked: str | None) -> list[str]:
    numbered = [name for name in names if _NUMBERED.fullmatch(name)]
    known = [name for name in IMAGE_COLUMNS if name in names]
    if asked is None and not known and numbered:
        return numbered
    if asked is not None and asked in names:
        return [asked]
    if asked is None and known:
        return known[:1]
    expected = asked or f"one of {', '.join(IMAGE_COLUMNS)}, or image_1, image_2, …"
    raise ValueError(
        f"{path} has no image column ({expected}); it has {', '.join(names)}. "
        "Name the column with --image-column."
    )


def _question_column(path: Path, names: Sequence[str], asked: str | None) -> str:
    wanted = QUESTION_COLUMNS if asked is None else (asked,)
    for name in wanted:
        if name in names:
            return name
    raise ValueError(
        f"{path} has no question column ({', '.join(wanted)}); it has {', '.join(names)}. "
        "Name the column with --question-column."
    )


def _encoded(value: Any, path: Path, row: int) -> Iterator[bytes]:
    """The encoded images in a cell."""
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _encoded(item, path, row)
    elif isinstance(value, dict) and (value.get("bytes") or value.get("path")):
        yield from _encoded(value.get("bytes") or value["path"], path, row)
    elif isinstance(value, str):
        file = path.parent / value
        if not file.is_file():
            raise FileNotFoundError(f"{path}, row {row}: its image {file} does not exist")
        yield file.read_bytes()
    elif value is not None:
        raise ValueError(
            f"{path}, row {row}: expected an image as bytes, a path, a struct of these or a list, "
            f"found {type(value).__name__}"
        )
