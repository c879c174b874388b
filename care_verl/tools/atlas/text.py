"""Text that nobody vouches for, made fit to be looked at."""

from __future__ import annotations

import re
import unicodedata

# Controls, format characters (the bidirectional ones among them), surrogates, separators of lines.
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Joiners belong to scripts and emoji and move nothing.
_KEPT = "\n\t\u200c\u200d"
_SUSPECT = re.compile(r"[^ -~\n\t]")


def visible(text: str) -> str:
    """The text with every character that would act unseen replaced by its escape, as `\\u202e`.

    HTML drops a NUL and turns a carriage return into a line feed; a bidirectional control reorders
    what stands around it. Whether the result is escaped for HTML is not decided here.
    """
    return _SUSPECT.sub(_shown, text)


def _shown(match: re.Match[str]) -> str:
    character = match[0]
    if character in _KEPT or unicodedata.category(character) not in _HIDDEN:
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
