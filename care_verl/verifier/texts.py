"""Answers in words: equal when they differ only in case, punctuation, spaces or an article."""

import re
import unicodedata

_ARTICLE = re.compile(r"(?:the|an?)\s+(?=\S)")
_PUNCTUATION = re.compile(r"[\s.,;:!?\"'`´()\[\]{}*_\-/\\]+")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_WORD = re.compile(r"[^\W\d_]{3,}")
_LETTERS = re.compile(r"[^\W\d_]{2,}(?:[\s,'-]+[^\W\d_]+)*")
_MATHEMATICS = re.compile(
    r"[\\^_=<>]|\b(?:sin|cos|tan|cot|sec|csc|log|ln|sqrt|arcsin|arccos|arctan)\b"
)
_OPPOSITES = {"yes": "no", "no": "yes", "true": "false", "false": "true"}
_FIRST_WORD = re.compile(r"([a-z]+)\s*[,.;:!-]")


def is_text(text: str) -> bool:
    """Whether a cleaned answer is made of words rather than of mathematics."""
    if _MATHEMATICS.search(text):
        return False
    return bool(_WORD.search(text) or _LETTERS.fullmatch(text))


def has_words(text: str) -> bool:
    """Whether there are words in `text` beside the commands of LaTeX."""
    return bool(_WORD.search(_COMMAND.sub(" ", text)))


def same_text(answer: str, gold: str) -> bool:
    """Equality of words; `Yes, it is` equals `yes`, but not where `no` follows."""
    wanted = squeezed(gold)
    if squeezed(answer) == wanted:
        return True
    plain = answer.strip().casefold()
    first = _FIRST_WORD.match(plain)
    opposite = _OPPOSITES.get(wanted)
    return (
        first is not None
        and opposite is not None
        and first[1] == wanted
        and opposite not in re.findall(r"[a-z]+", plain)
    )


def squeezed(text: str) -> str:
    """The letters, digits and signs that make the difference between two texts."""
    folded = unicodedata.normalize("NFKC", text).casefold().strip()
    folded = _ARTICLE.sub("", folded, count=1) if _ARTICLE.match(folded) else folded
    return _PUNCTUATION.sub("", folded) or "".join(folded.split())
