"""A demonstration brought to one form: `<think>…</think><answer>…</answer>`, nothing around it."""

import re

from care_verl.common.errors import CareVerlError
from care_verl.grammar import TagSpec
from care_verl.verifier import extract

# Tags as they are met: any case, spaces inside. Bounded, so that no text takes long.
_TAG = re.compile(r"<\s{0,4}(/?)\s{0,4}(think|answer)\s{0,4}>", re.IGNORECASE)
_EXPECTED = ["<think>", "</think>", "<answer>", "</answer>"]
# `Final Answer: B`, `**Final Answer:** B`, `**Final Answer**: B`, `### Final answer: B`, and with
# the answer inside the stars: `**Final Answer: B**`.
_PREFIX = re.compile(
    r"\s{0,9}#{0,6}\s{0,9}(?P<bold>\*\*)?\s{0,9}(?:the\s)?final\s{1,9}answer\s{0,9}"
    r"(?:(?P<closed>\*\*)\s{0,9}[:：]|[:：]\s{0,9}(?P<closed_late>\*\*)?)",
    re.IGNORECASE,
)
# verl takes each of them for a place where media stand, in a response as well.
_PLACEHOLDERS = ("<image>", "<video>")


class UnusableError(CareVerlError):
    """A demonstration that cannot be brought to the form; the message is the reason, few words."""


def normal_form(text: str, tags: TagSpec) -> str:
    """The demonstration with one rationale and one answer, in `tags`.

    Spellings of the tags are made one, white space around each part and a prefix such as
    `**Final Answer:**` in the answer are removed; the words stay as they are.

    Raises UnusableError when there is not exactly one of each, when either is empty or other text
    stands beside them, and when the text holds a placeholder of media.
    """
    if any(placeholder in text for placeholder in _PLACEHOLDERS):
        raise UnusableError("placeholder of media in the response")
    pieces = _TAG.split(text)
    # Text, slash, name, text, slash, name, …, text.
    found = [
        f"<{slash}{name.lower()}>" for slash, name in zip(pieces[1::3], pieces[2::3], strict=True)
    ]
    if found != _EXPECTED:
        raise UnusableError(_what_is_wrong(found))
    before, rationale, between, answer, after = (piece.strip() for piece in pieces[::3])
    if before or between or after:
        raise UnusableError("text outside rationale and answer")
    return _checked(rationale, without_prefix(answer), tags)


def without_prefix(answer: str) -> str:
    """The answer without `Final Answer:`, in whichever dress."""
    while match := _PREFIX.match(answer):
        answer = answer[match.end() :].strip()
        if match["bold"] and not (match["closed"] or match["closed_late"]):
            answer = answer.removesuffix("**").rstrip()
    return answer


def _what_is_wrong(found: list[str]) -> str:
    for name, part in (("think", "rationale"), ("answer", "answer")):
        opened, closed = found.count(f"<{name}>"), found.count(f"</{name}>")
        if opened == closed == 0:
            return f"no {part}"
        if opened != closed:
            return f"{part} not closed, or not opened"
        if opened > 1:
            return f"several {part}s"
    return "tags out of order"


def _checked(rationale: str, answer: str, tags: TagSpec) -> str:
    for text, part in ((rationale, "rationale"), (answer, "answer")):
        if not text:
            raise UnusableError(f"empty {part}")
    form = f"<{tags.think}>{rationale}</{tags.think}><{tags.answer}>{answer}</{tags.answer}>"
    # Other tag names than the corpus's own may stand in its text.
    if not extract(form, think_tag=tags.think, answer_tag=tags.answer).well_formed:
        raise UnusableError("not well formed for the verifier")
    return form
