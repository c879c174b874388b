"""The prompt of a row: its images, its question, and what the response must look like.

The paper's model "must produce a step-by-step rationale in `<think>` followed by a final answer in
`<answer>`" (training protocol). It does not print the instruction; this wording is ours.
"""

import re

from care_verl.data.columns import IMAGE_PLACEHOLDER
from care_verl.grammar import TagSpec

_INSTRUCTION = (
    "Reason step by step inside <{think}> </{think}>, "
    "then give only the final answer inside <{answer}> </{answer}>."
)
# verl takes each of them for a place where media stand.
_PLACEHOLDERS = re.compile("<image>|<video>|<audio>")


def instruction(tags: TagSpec) -> str:
    """What the response must look like."""
    return _INSTRUCTION.format(think=tags.think, answer=tags.answer)


def bare_question(question: str) -> str:
    """The question's text without the placeholders of media."""
    return _PLACEHOLDERS.sub("", question).strip()


def prompt_text(question: str, images: int, tags: TagSpec) -> str | None:
    """The user message; None when the question's placeholders do not fit its images.

    A question without placeholders gets one for each image in front; one with placeholders must
    have as many as images, and none of video or audio.
    """
    found = _PLACEHOLDERS.findall(question)
    if not found:
        question = IMAGE_PLACEHOLDER * images + question.strip()
    elif found != [IMAGE_PLACEHOLDER] * images:
        return None
    return f"{question.strip()}\n\n{instruction(tags)}"
