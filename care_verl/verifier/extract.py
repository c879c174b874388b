"""What a response says, as text: the verifier's view of the one grammar (`care_verl.grammar`)."""

from __future__ import annotations

from dataclasses import dataclass

from care_verl.grammar import Range, Regions, Tag, TagSpec, regions


@dataclass(frozen=True)
class Extraction:
    """What a response says, read by its tags.

    rationale: text of the rationale; None when none was closed.
    answers: text of every closed answer that counts, in order.
    unclosed: the last answer that counts was opened and never closed.
    well_formed: exactly one rationale, then exactly one non-empty answer, and nothing but white
        space around them.
    """

    rationale: str | None
    answers: tuple[str, ...]
    unclosed: bool
    well_formed: bool


def extract(
    response: str,
    *,
    think_tag: str = "think",
    answer_tag: str = "answer",
    prefilled: bool = False,
) -> Extraction:
    """Read the rationale and the answers of `response`.

    prefilled: the chat template wrote the rationale's opening tag into the prompt, so the response
    begins inside the rationale.
    """
    # A text may hold half of a surrogate pair, which UTF-8 proper cannot.
    text = response.encode("utf-8", "surrogatepass")
    found = regions(text, TagSpec(think_tag, answer_tag), prefilled)
    rationale, answer = found.rationale, found.answer
    return Extraction(
        rationale=_decoded(text, rationale.content) if rationale and rationale.closed else None,
        answers=tuple(_decoded(text, one.content) for one in found.answers if one.closed),
        unclosed=answer is not None and answer.closed is None,
        well_formed=_well_formed(text, found, prefilled),
    )


def _decoded(text: bytes, content: Range) -> str:
    return text[slice(*content)].decode("utf-8", "surrogatepass")


def _well_formed(text: bytes, found: Regions, prefilled: bool) -> bool:
    expected = [Tag.THINK_OPEN, Tag.THINK_CLOSE, Tag.ANSWER_OPEN, Tag.ANSWER_CLOSE]
    if prefilled:
        expected = expected[1:]
    if [mark.tag for mark in found.marks] != expected:
        return False
    close, begin, end = found.marks[-3:]
    before = 0 if prefilled else found.marks[0].start
    outside = ((0, before), (close.end, begin.start), (end.end, len(text)))
    answer = _decoded(text, (begin.end, end.start))
    return not any(_decoded(text, part).strip() for part in outside) and bool(answer.strip())
