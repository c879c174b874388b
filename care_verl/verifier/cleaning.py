"""What surrounds an answer without being part of it: Unicode variants, wrappers, lead-ins.

`cleaned` turns the many ways of writing one answer into one: `**(−½)**.`, `$\\left(-1/2\\right)$`
and `The answer is \\boxed{(-\\tfrac12)}` all become text that the readers of numbers, lists and
choices understand. Its result is for reading only; an answer is always reported as it was written.
"""

import re
import unicodedata
from functools import lru_cache

from care_verl.verifier.boxes import closing_brace, unboxed

# An answer longer than this is prose or noise; it is compared as text and as mathematics as it is.
LONGEST_ANSWER = 2_000
_MOST_WRAPPERS = 12

_SPACES = (
    "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
)
_INVISIBLE = (
    "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069"
    "\ufeff"
)
_MINUS = "\u2010\u2011\u2012\u2013\u2014\u2212\ufe63"
_SIGNS = {
    "×": r"\times ",
    "·": r"\cdot ",
    "⋅": r"\cdot ",
    "÷": "/",
    "⁄": "/",
    "∕": "/",
    "π": r"\pi ",
    "∞": r"\infty ",
    "∪": r"\cup ",
    "∩": r"\cap ",
    "≤": r"\leq ",
    "≥": r"\geq ",
    "≠": r"\neq ",
    "≈": r"\approx ",
    "±": r"\pm ",
    "∅": r"\emptyset ",
    "∈": r"\in ",
    "∠": r"\angle ",
    "△": r"\triangle ",
    "⊙": r"\odot ",
    "∥": r"\parallel ",
    "⊥": r"\perp ",
    "≅": r"\cong ",
    "°": r"^\circ ",
    "º": r"^\circ ",
    "˚": r"^\circ ",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
}
_TRANSLATION = (
    str.maketrans(dict.fromkeys(_SPACES, " "))
    | str.maketrans(dict.fromkeys(_INVISIBLE, ""))
    | str.maketrans(dict.fromkeys(_MINUS, "-"))
    | str.maketrans(_SIGNS)
    | {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
)
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_SUPERSCRIPT_RUN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]{1,8}")
_VULGAR = re.compile("(\\d?)([¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞])")
_ROOT = re.compile(r"√\s*(?:\(([^()]{1,80})\)|(\d{1,40}(?:\.\d{1,40})?|[A-Za-z]))")

_TIDY: list[tuple[re.Pattern[str], str]] = [
    (re.compile(r"(?<!\\)\\(?:left|right|bigl|bigr|Bigl|Bigr|big|Big)(?![A-Za-z])\.?"), ""),
    (re.compile(r"(?<!\\)\\(?:displaystyle|textstyle|limits|mathstrut)(?![A-Za-z])"), ""),
    (re.compile(r"(?<!\\)\\[dtc]frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\s*\{\s*,\s*\}\s*|,\\!\s*"), ","),
    (re.compile(r"(?<!\\)\\!"), ""),
    (re.compile(r"(?<!\\)\\(?:quad|qquad)(?![A-Za-z])|(?<!\\)\\[,;:> ]|~"), " "),
    (re.compile(r"(?<!\\)\\(?:mathrm|text|operatorname|rm)\s*\{\s*([ei])\s*\}"), r"\1 "),
    (re.compile(r"(?<![\\A-Za-z])sqrt\s*\(([^()]*)\)"), r"\\sqrt{\1}"),
    (re.compile(r"\^\s*-\s*(\d+)"), r"^{-\1}"),
    (re.compile(r"(?<!\\)\\(le|ge|ne)(?![A-Za-z])"), r"\\\1q"),
    (re.compile(r"(?<!\\)\\lt(?![A-Za-z])"), "<"),
    (re.compile(r"(?<!\\)\\gt(?![A-Za-z])"), ">"),
    (re.compile(r"(?<!\\)\\lbrace(?![A-Za-z])"), r"\\{"),
    (re.compile(r"(?<!\\)\\rbrace(?![A-Za-z])"), r"\\}"),
    (re.compile(r"(?<!\\)\\([%$&#])"), r"\1"),
    (re.compile(r"(?<!\\)\\degree(?![A-Za-z])|\^\s*\{\s*\\circ\s*\}"), r"^\\circ "),
]
_LEAD_IN = re.compile(
    r"(?:(?:so|thus|hence|therefore|then)\s*,?\s+)?(?:(?:the|my|our)\s+)?(?:final\s+|correct\s+)?"
    r"(?:answer|result|solution)\s*(?:is\s*:?|:|=)\s*|(?:is|are)\s+(?=\S)",
    re.IGNORECASE,
)
_PAIRS = ((r"\(", r"\)"), (r"\[", r"\]"), ("`", "`"), ('"', '"'), ("'", "'"))
_BOLD = re.compile(r"(?<![\w)])\*\*([^*]+)\*\*(?![\w(])")
_DOLLARS = re.compile(r"(?<!\\)\$\$?")
_WRAPPING_COMMAND = re.compile(
    r"\\(?:boxed|fbox|text|textbf|textit|textrm|mathbf|mathrm|mathit|mbox|textnormal|bm)\s*\{"
)
_JOINED = re.compile(r"(?<![A-Za-z\\])(?:and|or)(?![a-z])")


@lru_cache(maxsize=1024)
def cleaned(text: str) -> str:
    """The answer without variants of writing and without what is wrapped around it.

    text: at most `LONGEST_ANSWER` characters: the time is quadratic in the length of some texts.
    Remembered: each rule that is tried asks for it anew, and G rollouts share a gold answer.
    """
    text = _without_delimiters(_BOLD.sub(r"\1", text))
    text = " ".join(_tidied(_plain_characters(text)).split())
    text = unboxed(text)
    for _ in range(_MOST_WRAPPERS):
        inner = _peeled(text)
        if inner == text:
            break
        text = inner
    return text


def _without_delimiters(text: str) -> str:
    """Without the dollar signs around mathematics; one that stands alone is a currency."""
    return _DOLLARS.sub(" ", text) if len(_DOLLARS.findall(text)) % 2 == 0 else text


def _plain_characters(text: str) -> str:
    text = _ROOT.sub(lambda m: rf"\sqrt{{{m[1] or m[2]}}}", text)
    text = _VULGAR.sub(_vulgar_fraction, text)
    text = _SUPERSCRIPT_RUN.sub(lambda m: f"^{{{m[0].translate(_SUPERSCRIPTS)}}}", text)
    return text.translate(_TRANSLATION)


def _vulgar_fraction(match: re.Match[str]) -> str:
    fraction = unicodedata.normalize("NFKC", match[2]).replace("\u2044", "/")
    return f"{match[1]} {fraction}" if match[1] else fraction


def _tidied(text: str) -> str:
    for pattern, replacement in _TIDY:
        text = pattern.sub(replacement, text)
    return text


def _peeled(text: str) -> str:
    """The text without its outermost wrapper, if it has one."""
    text = text.strip().rstrip(".,;:").rstrip()
    lead_in = _LEAD_IN.match(text)
    if lead_in and lead_in.end() < len(text):
        return text[lead_in.end() :]
    text = text.lstrip("=: ").removeprefix("\\approx ")
    for opening, closing in _PAIRS:
        inner = text[len(opening) : len(text) - len(closing)]
        if (
            len(text) > len(opening) + len(closing)
            and text.startswith(opening)
            and text.endswith(closing)
            and opening not in inner
        ):
            return inner
    return _without_parentheses(_without_group(text))


def _without_parentheses(text: str) -> str:
    """Without the parentheses around the whole text, unless it is a list, which they order."""
    if not text.startswith("(") or not text.endswith(")"):
        return text
    depth = 0
    for index, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0 and index < len(text) - 1:
            return text
        if character in ",;" and depth == 1:
            return text
    inner = text[1:-1].strip()
    return text if _JOINED.search(inner) else inner


def _without_group(text: str) -> str:
    """Without the braces, alone or of a command such as `\\text`, that hold the whole text."""
    command = _WRAPPING_COMMAND.match(text)
    begin = command.end() if command else 1
    if not command and not text.startswith("{"):
        return text
    if closing_brace(text, begin - 1) != len(text) - 1:
        return text
    inner = text[begin:-1]
    # Bare braces around a list are meant as a set.
    return text if not command and "," in inner else inner
