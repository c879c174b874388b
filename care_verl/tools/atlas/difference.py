"""The words in which a response differs from the anchor."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from care_verl.tools.atlas.tokens import ANSWER, RATIONALE, Token

# A number keeps its point and commas; any other sign is a word of its own.
_WORD = re.compile(r"\d+(?:[.,]\d+)+|\w+|[^\w\s]")
LONGEST = 4_000
"""Words of a region beyond which it is not compared: the time grows with their square."""
# Up to here difflib may look at every pair of words; beyond it leaves frequent ones out as seeds.
_EXACT = 600

Range = tuple[int, int]


@dataclass(frozen=True)
class Difference:
    """Ranges of characters, [begin, end).

    added, replaced: in the response, words that the anchor does not have, or has others for.
    missing: in the anchor, words that the response does not have, or has others for.
    complete: False where a region was too long to be compared.
    """

    added: list[Range]
    replaced: list[Range]
    missing: list[Range]
    complete: bool


def difference(response: Sequence[Token], anchor: Sequence[Token]) -> Difference:
    """Compare rationale with rationale and answer with answer, word by word, without case.

    Of a reflection what it was given is left out: that is the text of another row.
    """
    found = Difference([], [], [], True)
    for region in (RATIONALE, ANSWER):
        ours, theirs = _words(response, region), _words(anchor, region)
        if max(len(ours), len(theirs)) > LONGEST:
            found = Difference(found.added, found.replaced, found.missing, False)
            continue
        _compare(ours, theirs, found)
    return found


def _compare(
    ours: Sequence[tuple[str, Range]], theirs: Sequence[tuple[str, Range]], found: Difference
) -> None:
    matcher = SequenceMatcher(
        None,
        [word for word, _ in theirs],
        [word for word, _ in ours],
        autojunk=max(len(ours), len(theirs)) > _EXACT,
    )
    for operation, i, j, k, end in matcher.get_opcodes():
        if operation == "equal":
            continue
        if end > k:
            kind = found.added if operation == "insert" else found.replaced
            kind.append((ours[k][1][0], ours[end - 1][1][1]))
        if j > i:
            found.missing.append((theirs[i][1][0], theirs[j - 1][1][1]))


def _words(tokens: Sequence[Token], region: str) -> list[tuple[str, Range]]:
    """The words of a region and where they stand in the text of all tokens."""
    inside = [
        place for place, token in enumerate(tokens) if token.region == region and not token.given
    ]
    if not inside:
        return []
    begin = sum(len(token.text) for token in tokens[: inside[0]])
    text = "".join(token.text for token in tokens[inside[0] : inside[-1] + 1])
    return [
        (match[0].casefold(), (begin + match.start(), begin + match.end()))
        for match in _WORD.finditer(text)
    ]
