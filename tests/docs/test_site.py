"""The built site: strict, complete, the same as on GitHub, and without anything from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from .pages import DOCS, ROOT, Page, site_pages

LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}
"""Elements by which a page fetches something, and the attribute that says what."""
OF_ELSEWHERE = re.compile(r"(https?:)?//")

COUNTED = {"table_open": "table", "list_item_open": "li", "bullet_list_open": "ul", "tr_open": "tr"}
"""Tokens of Markdown and the elements they become."""


class Content(HTMLParser):
    """What a page loads, and the elements of its article."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.article: list[str] = []
        self._inside = False
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = self._inside or tag == "article"
        value = dict(attrs).get(LOADED.get(tag, ""))
        if value and dict(attrs).get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(value)
        if self._inside:
            self.article.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "article"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`mkdocs build --strict`: a page outside the navigation, a dead link or anchor is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def built(site: Path, page: Page) -> Path:
    return site / page.path.relative_to(DOCS).with_suffix(".html")


@pytest.mark.parametrize("page", site_pages(), ids=lambda page: page.path.stem)
def test_a_page_has_what_its_source_has(site: Path, page: Page) -> None:
    """GitHub and the site read Markdown by other rules; a list may come out as a paragraph."""
    article = Content(built(site, page)).article
    found = {tag: article.count(tag) for tag in COUNTED.values()}
    assert found == {tag: page.count(kind) for kind, tag in COUNTED.items()}


@pytest.mark.parametrize("page", site_pages(), ids=lambda page: page.path.stem)
def test_tags_in_the_text_are_shown(site: Path, page: Page) -> None:
    """`<think>` outside of code has to be escaped, or a browser takes it for markup."""
    assert not {"think", "answer", "reasoning"} & set(Content(built(site, page)).article)


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    """By pages and style sheets. What the theme's script could fetch is not looked for: it loads
    drawings of Mermaid from the web, which no page has, and a stand-in for very old browsers."""
    pages = list(site.rglob("*.html"))
    loaded = {value for page in pages for value in Content(page).loaded}
    assert len(pages) > len(site_pages())
    assert any(value.endswith(".css") for value in loaded)
    assert not {value for value in loaded if OF_ELSEWHERE.match(value)}
    for sheet in site.rglob("*.css"):
        text = sheet.read_text("utf-8")
        imported = re.findall(r"@import\s*[\"']([^\"']+)", text)
        for value in imported + re.findall(r"url\([\"']?([^)\"']+)", text):
            assert not OF_ELSEWHERE.match(value), f"{sheet.name}: {value}"
