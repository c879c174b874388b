"""Command lines as the pages write them, taken apart into words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from .pages import Page

OPERATORS = {"|", "||", "&&", ";", "&", ">", ">>", "<"}
WRAPPERS = {"srun", "exec", "nohup", "env"}
"""Programs that run the command behind them."""
OUTPUT = ("│", "┃")
"""What a line of a printed table begins with."""


def commands(page: Page) -> Iterator[list[str]]:
    """The words of every command in a code block, and of every code span, comments left out.

    Spans with dots in place of something are messages more often than commands, and left out too.
    """
    for block in page.blocks:
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            if not line.startswith(OUTPUT):
                yield from _split(re.sub(r"\$\([^)]*\)", "$SUBSTITUTED", line))
    for span in page.spans:
        if "..." in span:
            continue
        yield from _split(span)


def _split(line: str) -> list[list[str]]:
    reader = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    reader.whitespace_split = True
    try:
        words = list(reader)
    except ValueError:  # prose or a program with an unpaired quotation mark
        words = line.split()
    found: list[list[str]] = [[]]
    for word in words:
        if word in OPERATORS:
            found.append([])
        else:
            found[-1].append(word)
    return [command for command in found if command]


def arguments(words: Sequence[str], program: str) -> list[str] | None:
    """The arguments of `program` where `words` run it, by whatever path; None where they do not."""
    for place, word in enumerate(words):
        if PurePosixPath(word).name == program:
            return list(words[place + 1 :])
        if "=" not in word and word not in WRAPPERS:
            return None
    return None
