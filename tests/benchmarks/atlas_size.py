"""What the size of an atlas costs in a browser: pages of 50 and of 500 groups, in turn.

    python -m tests.benchmarks.atlas_size --turns 7

Each turn opens both pages in a headless Chromium, filters by an outcome, searches, and goes to the
next group by key. It prints the median seconds of each act on each page and the ratio of the two.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, Page

from care_verl.tools.atlas.wanted_groups import Wanted
from care_verl.tools.atlas.write import write_atlas
from tests.atlas.browser import started_browser
from tests.atlas.made import write_readable_groups

SMALL, LARGE = 50, 500


def acts(page: Page, url: str, names: Sequence[str]) -> dict[str, Callable[[], None]]:
    """What is timed, in this order. AssertionError: the page did not follow."""
    groups = len(names)

    def open_it() -> None:
        page.goto(url)
        assert page.locator("#shown").text_content() == f"{groups} of {groups} groups"

    def filter_it() -> None:
        page.locator('[data-facet="rgr:succeeded"]').click()
        assert page.locator("#shown").text_content() == f"{groups // 2} of {groups} groups"

    def search() -> None:
        page.keyboard.press("/")
        page.keyboard.type("24,750")
        page.keyboard.press("Enter")
        page.keyboard.press("j")
        assert page.locator("article.current").get_attribute("id") == names[2]

    return {"open": open_it, "filter": filter_it, "search and go": search}


def seconds(browser: Browser, url: str, names: Sequence[str]) -> dict[str, float]:
    """Of each act, on a page that no other page was open beside."""
    page = browser.new_context().new_page()
    taken = {}
    for name, act in acts(page, url, names).items():
        begin = time.perf_counter()
        act()
        taken[name] = time.perf_counter() - begin
    page.context.close()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=7)
    turns = parser.parse_args().turns
    with tempfile.TemporaryDirectory() as name, started_browser() as browser:
        pages = {}
        for groups in (SMALL, LARGE):
            folder = Path(name) / str(groups)
            names = write_readable_groups(folder, groups)
            pages[groups] = write_atlas(folder, Wanted(limit=groups)).path.as_uri(), names
        taken = [
            {groups: seconds(browser, *page) for groups, page in pages.items()}
            for _ in range(turns)
        ]
    for act in taken[0][SMALL]:
        small, large = (median(turn[groups][act] for turn in taken) for groups in (SMALL, LARGE))
        ratio = median(turn[LARGE][act] / turn[SMALL][act] for turn in taken)
        print(f"{act}: {small:.2f} s with {SMALL} groups, {large:.2f} s with {LARGE}: {ratio:.1f}")


if __name__ == "__main__":
    main()
