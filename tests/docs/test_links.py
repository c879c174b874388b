"""What the pages point to is there. Addresses on the web are not asked for."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

import pytest

from .pages import ROOT, Page, all_pages
from .shell import commands

PATH = re.compile(r"README\.md|Makefile|setup\.py|(docs|tests|care_verl|recipes|examples)/[\w./-]*")
"""A file or folder of the project, in code."""
NO_FILES = {"examples/grpo_trainer", "care_verl/embedded"}
"""A folder of verl's repository and a data source, which look like ours."""
MODULE = re.compile(r"-m (tests|care_verl)((?:\.\w+)+)")


def parametrized(page: Page) -> str:
    return page.name


@pytest.mark.parametrize("page", all_pages(), ids=parametrized)
def test_links_and_anchors_resolve(page: Page) -> None:
    """In the repository, by GitHub's anchors; the site's own are checked by its build."""
    broken = []
    for link in page.links:
        parts = urlsplit(link)
        if parts.scheme in ("http", "https"):
            continue
        target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
        if not (target.is_relative_to(ROOT) and target.exists()):
            broken.append(f"{link}: no such file")
        elif parts.fragment and parts.fragment not in Page(target).anchors:
            broken.append(f"{link}: anchors are {sorted(Page(target).anchors)}")
    assert not broken


@pytest.mark.parametrize("page", all_pages(), ids=parametrized)
def test_named_files_and_modules_exist(page: Page) -> None:
    words = {word for command in commands(page) for word in command}
    named = {word for word in words if PATH.fullmatch(word)}
    for package, module in MODULE.findall(page.text):
        named.add(f"{package}{module.replace('.', '/')}.py")
    assert not {name for name in named - NO_FILES if not (ROOT / name).exists()}


def test_the_readme_leads_to_every_page() -> None:
    """By links, over however many pages."""
    waiting, reached = [ROOT / "README.md"], set()
    while waiting:
        page = Page(waiting.pop())
        reached.add(page.name)
        targets = [(page.path.parent / urlsplit(link).path).resolve() for link in page.links]
        waiting += [
            target
            for target in targets
            if target.suffix == ".md" and target.relative_to(ROOT).as_posix() not in reached
        ]
    assert {page.name for page in all_pages() if page.name.startswith("docs/")} <= reached
