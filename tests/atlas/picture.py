"""Pictures of an atlas for the documentation: `python -m tests.atlas.picture --help`."""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from care_verl.records.files import RunRecord
from care_verl.tools.atlas.html import Heading
from care_verl.tools.atlas.wanted_groups import Wanted, choose, named
from care_verl.tools.atlas.write import name_of, write_groups

from .browser import started_browser

_COLOURS = 256
# Anchor and negatives in one line, then the reflection, and nothing of the page around them.
_ALONE = """
aside, .bar, .others, .numbers, .link, .card.reflection { display: none !important; }
body { display: block !important; }
main { padding: 10px !important; }
.group { margin: 0 !important; box-shadow: none !important; }
.group { content-visibility: visible !important; }
.strip { overflow: visible !important; flex-wrap: wrap; }
.card, .card.reference { flex: 1 1 11rem !important; position: static !important; }
.card, .card.reference { box-shadow: none !important; }
.text { max-height: none !important; }
"""


def take_picture(
    run: Path,
    uid: str,
    out: Path,
    view: str = "words",
    scheme: str = "light",
    width: int = 1300,
    whole: bool = False,
) -> None:
    """One group as a PNG; with `whole` the window with all groups of its step, at this one."""
    record = RunRecord.find(run)
    group = named(record, uid)
    groups = choose(record, Wanted(group.step)).groups if whole else [group]
    with tempfile.TemporaryDirectory() as folder, started_browser() as browser:
        page_file = Path(folder) / "atlas.html"
        heading = Heading(name_of(record), f"step {group.step}", "all groups of the step")
        write_groups(record, groups, heading, page_file)
        context = browser.new_context(
            viewport={"width": width, "height": 1080}, color_scheme=scheme, bypass_csp=not whole
        )
        page = context.new_page()
        page.goto(f"{page_file.as_uri()}#{uid}")
        page.locator(f"[data-to={view}]").click()
        shot = page.screenshot() if whole else _alone(page)
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.open(io.BytesIO(shot)).convert("RGB").quantize(
        _COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
    ).save(out, "PNG", optimize=True)


def _alone(page: Page) -> bytes:
    page.add_style_tag(content=_ALONE)
    return page.locator("article").screenshot()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.atlas.picture", description=__doc__)
    parser.add_argument("run", type=Path, help="a run's folder, or its record")
    parser.add_argument("--group", required=True, help="uid of the group, as s000012p00003")
    parser.add_argument("--out", type=Path, required=True, help="the PNG")
    parser.add_argument("--view", choices=("words", "credit", "plain"), default="words")
    parser.add_argument("--scheme", choices=("light", "dark"), default="light")
    parser.add_argument("--width", type=int, default=1300, help="pixels of the window")
    parser.add_argument("--whole", action="store_true", help="the window, with the whole step")
    given = parser.parse_args()
    take_picture(
        given.run, given.group, given.out, given.view, given.scheme, given.width, given.whole
    )


if __name__ == "__main__":
    main()
