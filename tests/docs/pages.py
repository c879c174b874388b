"""The project's Markdown, parsed as GitHub does: code, links and anchors of every page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@dataclass(frozen=True)
class Page:
    """One Markdown file; `name` is its path from the repository's root."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @cached_property
    def tokens(self) -> list[Token]:
        return MarkdownIt("commonmark").enable("table").parse(self.text)

    @cached_property
    def blocks(self) -> list[str]:
        """The contents of fenced and indented code blocks."""
        return [token.content for token in self.tokens if token.type in ("fence", "code_block")]

    @cached_property
    def spans(self) -> list[str]:
        """The contents of code spans, an escaped pipe of a table read as a pipe."""
        return [token.content.replace("\\|", "|") for token in self._inline("code_inline")]

    @cached_property
    def links(self) -> list[str]:
        """The targets of links and images."""
        targets = [str(token.attrs["href"]) for token in self._inline("link_open")]
        return targets + [str(token.attrs["src"]) for token in self._inline("image")]

    @cached_property
    def anchors(self) -> set[str]:
        """The anchors that GitHub gives to the headings."""
        seen: Counter[str] = Counter()
        found = set()
        for opening, inline in zip(self.tokens, self.tokens[1:], strict=False):
            if opening.type != "heading_open":
                continue
            anchor = _anchor(inline)
            found.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
            seen[anchor] += 1
        return found

    def count(self, kind: str) -> int:
        """How many tokens of a kind, such as `table_open`, the page has."""
        return sum(token.type == kind for token in self.tokens)

    def _inline(self, kind: str) -> Iterator[Token]:
        for token in self.tokens:
            yield from (child for child in token.children or [] if child.type == kind)


def _anchor(heading: Token) -> str:
    parts = heading.children or []
    text = "".join(part.content for part in parts if part.type in ("text", "code_inline"))
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def all_pages() -> list[Page]:
    """README and every Markdown file of the folders that are part of the project."""
    folders = ("docs", "examples", "recipes", "care_verl", "tests")
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.md"))]
    return [Page(path) for path in [ROOT / "README.md", *found]]


def site_pages() -> list[Page]:
    """The pages of the built site."""
    return [page for page in all_pages() if page.path.is_relative_to(DOCS)]
