"""Multiple choice: which option a gold answer names, and which one an answer picks."""

import re
from collections.abc import Callable, Sequence

from care_verl.verifier.cleaning import cleaned

_LETTERS = "ABCDEFGHIJ"
_BARE = re.compile(r"[(\[]?\s*([A-Ja-j])\s*[)\].:]?")
_NAMED = re.compile(
    r"(?:(?:the\s+)?(?:correct\s+)?"
    r"(?:option|choice|answer|letter|point|figure|graph|diagram|statement)\s*(?:is\s+)?:?\s*)+"
    r"[(\[]?([A-J])[)\].:]?"
    r"|[(\[]?([A-J])[)\]]?\s+is\s+(?:the\s+)?(?:correct|right)(?:\s+(?:option|choice|answer))?",
    re.IGNORECASE,
)
_LABELLED = re.compile(r"(?:[(\[]([A-J])[)\]]\s*[.:]?|([A-J])\s*[).:])\s*(\S.*)", re.DOTALL)
_SPACED = re.compile(r"([A-J])\s+(\S.*)", re.DOTALL)
_SEVERAL = re.compile(r"[A-J](?:(?:\s*,\s*|\s*and\s*|\s*&\s*|\s+|)[A-J]){1,9}")

Same = Callable[[str, str], bool]


def option_texts(choices: Sequence[str] | None) -> list[str]:
    """The options without their own labels: `A. 12 cm` is `12 cm` where all are labelled so."""
    texts = [str(choice) for choice in choices] if choices is not None else []
    labelled = [_LABELLED.fullmatch(text.strip()) for text in texts]
    letters = [_letter(match) if match else None for match in labelled]
    if texts and letters == list(_LETTERS[: len(texts)]):
        return [match[3].strip() for match in labelled if match]
    return texts


def gold_letter(gold: str, options: Sequence[str], same: Same) -> str | None:
    """The letter of the gold option, which the gold answer gives itself or by the option's text.

    None when the gold answer is no option, or names one that does not exist.
    """
    letter = bare_letter(gold)
    if letter is not None and _existing(letter, options):
        return letter
    return _text_letter(gold, options, same)


def bare_letter(text: str) -> str | None:
    """The capital letter, decorated or not, that the whole text is."""
    match = _BARE.fullmatch(cleaned(text))
    return match[1] if match and match[1].isupper() else None


def several_letters(text: str) -> frozenset[str] | None:
    """The letters of an answer that picks several options: `A, C` and `AC` are the same."""
    text = cleaned(text)
    if not _SEVERAL.fullmatch(text):
        return None
    letters = re.findall("[A-J]", text)
    return frozenset(letters) if len(set(letters)) == len(letters) else None


def picked_letter(answer: str, options: Sequence[str], same: Same) -> str | None:
    """The one option that an answer picks, by letter, by letter and text, or by text alone.

    A letter inside a word picks nothing; nor does a letter beside another option's text.
    """
    text = cleaned(answer)
    whole = _BARE.fullmatch(text) or _NAMED.fullmatch(text)
    if whole:
        return _existing(_letter(whole), options) or _text_letter(text, options, same)
    labelled = _LABELLED.fullmatch(text)
    if labelled:
        return _agreeing(_letter(labelled), labelled[3], options, same)
    spaced = _SPACED.fullmatch(text)
    if spaced and _text_letter(spaced[2], options, same) == spaced[1]:
        return spaced[1]
    return _text_letter(text, options, same)


def _agreeing(letter: str, text: str, options: Sequence[str], same: Same) -> str | None:
    named = _text_letter(text, options, same)
    return _existing(letter, options) if named in (None, letter) else None


def _text_letter(text: str, options: Sequence[str], same: Same) -> str | None:
    """The letter of the one option whose text is the same; None of none, or of several."""
    letters = dict(zip(_LETTERS, options, strict=False))
    found = [letter for letter, option in letters.items() if same(text, option)]
    return found[0] if len(found) == 1 else None


def _existing(letter: str, options: Sequence[str]) -> str | None:
    letter = letter.upper()
    return letter if not options or _LETTERS.index(letter) < len(options) else None


def _letter(match: re.Match[str]) -> str:
    """The letter that a pattern found, by whichever of its alternatives."""
    return next(group for group in match.groups() if group)
