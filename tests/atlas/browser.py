"""The browser that is on this machine, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_browser() -> str | None:
    """Path of a Chromium: the one named by CARE_VERL_CHROMIUM, or the first on PATH."""
    named = os.environ.get("CARE_VERL_CHROMIUM")
    found = (shutil.which(name) for name in ([named] if named else []) + list(_NAMES))
    return next((path for path in found if path), None)


@contextmanager
def started_browser() -> Iterator[Browser]:
    """A headless Chromium. Raises RuntimeError where there is none."""
    path = find_browser()
    if path is None:
        raise RuntimeError(
            f"no browser: CARE_VERL_CHROMIUM names none, and none of {', '.join(_NAMES)} is on PATH"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()
