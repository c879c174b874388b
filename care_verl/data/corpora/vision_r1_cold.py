"""Vision-R1-cold (Osilly/Vision-R1-cold) as rows for verl's SFT trainer.

The corpus is two JSON files without images. Of each item become the messages of one row: the user's
text with the instruction of the RL prompts, so that the cold start teaches the form under the
prompt that reinforcement learning will use, and the assistant's text in one form
(`demonstration_text`).

Mulberry's items on images of MATH-Vision, an evaluation set, are left out unless asked for.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import datasets

from care_verl.data.corpora.cached_rows import generated_rows
from care_verl.data.corpora.conversations import (
    LLAVA_COT,
    MULBERRY,
    SCHEMA,
    Conversation,
    Part,
    conversation,
    relative_path,
)
from care_verl.data.corpora.demonstration_text import UnusableError, normal_form
from care_verl.data.corpora.images import ImageError, StoredImage, checked_image
from care_verl.data.corpora.json_items import json_items
from care_verl.data.corpora.limits import Limits
from care_verl.data.corpora.prompt import prompt_text
from care_verl.data.corpora.row_outcome import Dropped, Kept, Unit
from care_verl.data.corpora.source import SourceError
from care_verl.data.corpora.token_count import TokenCounter
from care_verl.grammar import TagSpec

_MATH_VISION = "in MATH-Vision, an evaluation set"


@dataclass(frozen=True)
class ColdStartChecks:
    """What items are checked against.

    limits: of images, and of the tokens of a row, response included, when there is a counter.
    keep_mathvision: keep the items on images of MATH-Vision; they are counted in the report.
    """

    limits: Limits
    tags: TagSpec
    counter: TokenCounter | None = None
    keep_mathvision: bool = False


@dataclass(frozen=True)
class VisionR1Cold:
    """The opened corpus. roots: folder of the images, by part. rows: items, by part."""

    folder: Path
    roots: Mapping[Part, Path]
    rows: Mapping[Part, int]

    @property
    def total(self) -> int:
        """Items of both parts."""
        return sum(self.rows.values())

    def load(self, cache: Path) -> datasets.Dataset:
        """The items of both parts; `cache` is a folder. Raises SourceError for a malformed one."""
        stats = [(self.folder / part.file).stat() for part in self.rows]
        made_with = [str(self.folder), [(stat.st_size, stat.st_mtime_ns) for stat in stats]]
        return generated_rows(str(self.folder), self._items, SCHEMA, cache, made_with)

    def unit(self, cells: Mapping[str, Any], checks: ColdStartChecks) -> Unit:
        """What becomes of an item."""
        part = next(part for part in self.rows if part.name == cells["part"])
        talk = Conversation.from_cells(cells)
        return _unit(part, talk, self._images(part, talk, checks), checks)

    def _items(self) -> Iterator[dict[str, Any]]:
        for part in self.rows:
            for number, item in enumerate(json_items(self.folder / part.file)):
                yield {"part": part.name, **asdict(conversation(part, number, item))}

    def _images(
        self, part: Part, talk: Conversation, checks: ColdStartChecks
    ) -> list[StoredImage] | Dropped:
        if not talk.images:
            return Dropped(talk.source_id, "no image")
        if _of_mathvision(part, talk) and not checks.keep_mathvision:
            return Dropped(talk.source_id, _MATH_VISION, ", ".join(talk.images))
        files = [self.roots[part] / relative_path(part, name) for name in talk.images]
        missing = [str(file) for file in files if not file.is_file()]
        if missing:
            return Dropped(talk.source_id, "missing image", ", ".join(missing))
        try:
            return [checked_image(file.read_bytes(), checks.limits) for file in files]
        except ImageError as problem:
            return Dropped(talk.source_id, problem.reason, str(problem))


def open_vision_r1_cold(
    folder: Path,
    llava_cot_images: Path | None = None,
    mulberry_images: Path | None = None,
) -> VisionR1Cold:
    """The corpus in `folder`; folders of images that are not named are looked for in it.

    Both files are read through once, which finds what is broken in them before anything is written.

    Raises SourceError when a file or a folder of images is missing, or a file is damaged.
    """
    given = {LLAVA_COT: llava_cot_images, MULBERRY: mulberry_images}
    roots = {part: root or folder / part.images for part, root in given.items()}
    for part, root in roots.items():
        if not root.is_dir():
            option = f"--{part.images.replace('_', '-')}"
            raise SourceError(
                f"the images of {part.file} are expected in {root}, which is no folder: "
                f"{part.unpack}; or name another folder with {option}"
            )
    rows = {part: sum(1 for _ in json_items(folder / part.file)) for part in roots}
    return VisionR1Cold(folder, roots, rows)


def _unit(
    part: Part, talk: Conversation, images: list[StoredImage] | Dropped, checks: ColdStartChecks
) -> Unit:
    if isinstance(images, Dropped):
        return images
    try:
        messages = _messages(talk, checks.tags)
        _require_short(messages, images, checks)
    except UnusableError as problem:
        return Dropped(talk.source_id, str(problem))
    row = {
        "messages": messages,
        "images": [{"bytes": image.data} for image in images],
        "data_source": f"vision_r1_cold/{part.name}",
        "source_id": talk.source_id,
    }
    return Kept(row, _notes(part, talk, images))


def _messages(talk: Conversation, tags: TagSpec) -> list[dict[str, str]]:
    """The turns as messages. Raises UnusableError with the reason."""
    roles = [turn.role for turn in talk.turns]
    if not roles or roles != ["user", "assistant"] * (len(roles) // 2):
        raise UnusableError("turns do not alternate between user and assistant")
    messages = []
    for number, turn in enumerate(talk.turns):
        if turn.role == "assistant":
            text: str | None = normal_form(turn.text, tags)
        else:
            text = prompt_text(turn.text, 0 if number else len(talk.images), tags)
        if text is None:
            raise UnusableError("placeholders and images differ")
        messages.append({"role": turn.role, "content": text})
    return messages


def _require_short(
    messages: Sequence[Mapping[str, str]], images: Sequence[StoredImage], checks: ColdStartChecks
) -> None:
    """Raise UnusableError when the row has more tokens than fit.

    Each message is counted with a chat's own tokens around it, so the sum is some tokens too high.
    """
    if checks.counter is None:
        return
    sizes = [(image.height, image.width) for image in images]
    total = 0
    for number, message in enumerate(messages):
        try:
            tokens = checks.counter.count(message["content"], [] if number else sizes)
        except ValueError as error:
            # Brought to whole patches, a narrow image may pass the ratio that it kept before.
            raise UnusableError("aspect ratio") from error
        if tokens is None:
            raise UnusableError("special tokens in the text")
        total += tokens
    if total > checks.limits.max_prompt_tokens:
        raise UnusableError("too many tokens")


def _of_mathvision(part: Part, talk: Conversation) -> bool:
    """Whether a folder or file is called mathvision, MATH-Vision, math_vision or the like."""
    names = (name for image in talk.images for name in relative_path(part, image).parts)
    return any("mathvision" in "".join(filter(str.isalnum, name.casefold())) for name in names)


def _notes(part: Part, talk: Conversation, images: Sequence[StoredImage]) -> tuple[str, ...]:
    notes = []
    if len(talk.turns) > 2:
        notes.append("several turns")
    if any(image.encoded_anew for image in images):
        notes.append("image encoded anew")
    if _of_mathvision(part, talk):
        notes.append(_MATH_VISION)
    return tuple(notes)
