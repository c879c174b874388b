"""From a raw row to the row that is written: every check that a row must pass, in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from care_verl.data.columns import REWARD_STYLE
from care_verl.data.corpora.images import ImageError, StoredImage, checked_image
from care_verl.data.corpora.limits import Limits
from care_verl.data.corpora.prompt import bare_question, prompt_text
from care_verl.data.corpora.row_outcome import Dropped, Kept, Unit
from care_verl.data.corpora.source import ImageUnavailableError, RawRow
from care_verl.data.corpora.token_count import TokenCounter
from care_verl.grammar import TagSpec
from care_verl.verifier import gold_problem


@dataclass(frozen=True)
class Checks:
    """What rows are checked against. Without a counter, no prompt is too long."""

    limits: Limits
    tags: TagSpec
    counter: TokenCounter | None = None

    def unit(self, row: RawRow | Dropped) -> Unit:
        """What becomes of one row."""
        if isinstance(row, Dropped):
            return row
        # Cheap checks first: the gold answer may take a parser in a process of its own.
        text = prompt_text(row.question, len(row.images), self.tags)
        if not row.images:
            return Dropped(row.source_id, "no image")
        if text is None:
            detail = f"{row.question.count('<image>')} placeholders, {len(row.images)} images"
            return Dropped(row.source_id, "placeholders and images differ", detail)
        try:
            images = [checked_image(load(), self.limits) for load in row.images]
        except (ImageError, ImageUnavailableError) as error:
            return Dropped(row.source_id, error.reason, str(error))
        dropped = self._too_long(row, text, images) or _unusable_gold(row)
        return dropped or Kept(_rl_row(row, text, images), _notes(row, images))

    def _too_long(self, row: RawRow, text: str, images: Sequence[StoredImage]) -> Dropped | None:
        if self.counter is None:
            return None
        try:
            tokens = self.counter.count(text, [(image.height, image.width) for image in images])
        except ValueError as error:
            # Brought to whole patches, a narrow image may pass the ratio that it kept before.
            return Dropped(row.source_id, "aspect ratio", str(error))
        if tokens is None:
            return Dropped(row.source_id, "special tokens in the question")
        if tokens > self.limits.max_prompt_tokens:
            detail = f"{tokens} tokens; most are {self.limits.max_prompt_tokens}"
            return Dropped(row.source_id, "prompt too long", detail)
        return None


def _unusable_gold(row: RawRow) -> Dropped | None:
    problem = gold_problem(row.answer, row.data_source, row.choices)
    return Dropped(row.source_id, f"gold answer: {problem}", row.answer) if problem else None


def _rl_row(row: RawRow, text: str, images: Sequence[StoredImage]) -> dict[str, Any]:
    return {
        "data_source": row.data_source,
        "prompt": [{"role": "user", "content": text}],
        "images": [{"bytes": image.data} for image in images],
        "reward_model": {"style": REWARD_STYLE, "ground_truth": row.answer},
        "extra_info": {
            "index": row.index,
            "split": row.split,
            "source_id": row.source_id,
            "question": bare_question(row.question),
            "choices": None if row.choices is None else list(row.choices),
            "category": row.category,
        },
    }


def _notes(row: RawRow, images: Sequence[StoredImage]) -> tuple[str, ...]:
    notes = list(row.notes)
    if row.choices is not None:
        notes.append("choices known")
    if any(image.encoded_anew for image in images):
        notes.append("image encoded anew")
    return tuple(notes)
