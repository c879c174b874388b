"""One item of Vision-R1-cold: its images' paths and its turns, whichever spelling it has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from care_verl.data.corpora.source import SourceError

_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}


@dataclass(frozen=True)
class Turn:
    """One message; `role` is `user`, `assistant`, or what the file says when it is neither."""

    role: str
    text: str


# Of one whole corpus: an item's part by its name, and its conversation.
SCHEMA = pa.schema(
    {
        "part": pa.string(),
        "source_id": pa.string(),
        "images": pa.list_(pa.string()),
        "turns": pa.list_(pa.struct({"role": pa.string(), "text": pa.string()})),
    }
)


@dataclass(frozen=True)
class Conversation:
    """images: as the file names them. turns: in order."""

    source_id: str
    images: tuple[str, ...]
    turns: tuple[Turn, ...]

    @classmethod
    def from_cells(cls, cells: Mapping[str, Any]) -> "Conversation":
        """The conversation of a row of `SCHEMA`."""
        turns = tuple(Turn(**turn) for turn in cells["turns"])
        return cls(cells["source_id"], tuple(cells["images"]), turns)


@dataclass(frozen=True)
class Part:
    """One of the corpus's two files, and where its images come from.

    images: name of the folder that holds the images. unpack: how this folder is made.
    """

    name: str
    file: str
    images: str
    unpack: str


LLAVA_COT = Part(
    "llava_cot",
    "vision_r1_llava_cot_full.json",
    "llava_cot_images",
    "join and unpack the archive of Xkev/LLaVA-CoT-100k there: `cat image.zip.part-* > image.zip`, "
    "then `unzip image.zip -d llava_cot_images`",
)
MULBERRY = Part(
    "mulberry",
    "vision_r1_mulberry_sft_full.json",
    "mulberry_images",
    "unpack the archive of HuanjinYao/Mulberry-SFT beside the JSON files: "
    "`tar xf mulberry_images.tar`",
)


def conversation(part: Part, number: int, item: Mapping[str, Any]) -> Conversation:
    """The item with this number in the file of `part`.

    Raises SourceError with the item's number when a key is missing or holds another type.
    """
    place = f"{part.file}, item {number}"
    turns = _value(item, ("conversations",), list, place)
    return Conversation(
        source_id=f"{part.name}/{item.get('id', number)}",
        images=_paths(_value(item, ("image", "images"), str | list | None, place), place),
        turns=tuple(_turn(turn, place) for turn in turns),
    )


def relative_path(part: Part, name: str) -> PurePosixPath:
    """The path below the folder of the images of what the file calls `name`.

    The names are met with and without the folder's own name, and with folders before it.
    """
    path = PurePosixPath(name)
    if part.images in path.parts:
        return PurePosixPath(*path.parts[path.parts.index(part.images) + 1 :])
    return path


def _turn(turn: Any, place: str) -> Turn:
    if not isinstance(turn, dict):
        raise SourceError(f"{place}: a turn is {turn!r:.60}; expected an object")
    role = _value(turn, ("from", "role"), str, place)
    return Turn(_ROLES.get(role, role), _value(turn, ("value", "content"), str, place))


def _value(item: Mapping[str, Any], names: Sequence[str], kind: Any, place: str) -> Any:
    """The value of the first of `names` that the item has."""
    for name in names:
        if name not in item:
            continue
        if not isinstance(item[name], kind):
            raise SourceError(
                f"{place}: {name} is {item[name]!r:.60}; expected {getattr(kind, '__name__', kind)}"
            )
        return item[name]
    raise SourceError(f"{place}: no {' or '.join(names)}; found {', '.join(item) or 'nothing'}")


def _paths(images: str | list[Any] | None, place: str) -> tuple[str, ...]:
    paths = [images] if isinstance(images, str) else images or []
    for path in paths:
        if not isinstance(path, str):
            raise SourceError(f"{place}: an image is {path!r:.60}; expected a path")
    return tuple(path for path in paths if path)
