"""The page in a real browser, headless: what it shows, what its keys do, what it never does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from care_verl.tools.atlas.wanted_groups import Wanted
from care_verl.tools.atlas.write import write_atlas
from tests.records.samples import write_sample_run

from .browser import find_browser, started_browser
from .harm import LONG, SHOWN, UID, harmful_group
from .made import cut, readable_group, row, text, write_readable_groups, write_rows

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_browser() is None, reason="no Chromium on PATH, and CARE_VERL_CHROMIUM names none"
    ),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started_browser() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on which errors, alerts and anything asked of a network fail the test."""
    wrong: list[str] = []

    def guard(route: Route) -> None:
        if urlsplit(route.request.url).scheme in {"file", "data"}:
            route.continue_()
        else:
            wrong.append(f"asked for {route.request.url[:80]}")
            route.abort()

    context = browser.new_context(viewport={"width": 1300, "height": 900})
    context.route("**/*", guard)
    page = context.new_page()
    page.on("console", lambda message: wrong.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (wrong.append("dialog"), dialog.dismiss()))
    yield page
    assert page.evaluate("window.harmed") is None
    context.close()
    assert wrong == []


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page of 14 made-up groups, as a URL."""
    folder = tmp_path_factory.mktemp("atlas")
    write_sample_run(folder, steps=2, groups=14, seed=3)
    return write_atlas(folder, Wanted()).path.as_uri()


@pytest.fixture(scope="module")
def readable(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page of a repaired, a failed and a rescued group."""
    folder = tmp_path_factory.mktemp("readable")
    rescued = {"kind": "all_wrong", "k_prime": 1, "k_s": 1}
    rows = [
        *readable_group(folder, "s000001p00000"),
        *readable_group(folder, "s000001p00001", succeeded=False),
        row("s000001p00002", 0, cut(text("lost", "1")), role="anchor", d_cos=0.0, **rescued),
        row("s000001p00002", 1, cut(text("gone", "2")), role="negative", d_cos=0.5, **rescued),
    ]
    rows[-2] |= {"question": "A prompt without an image?", "gold": "3"}
    return write_atlas(write_rows(folder, 1, rows), Wanted()).path.as_uri()


def shown(page: Page) -> list[str]:
    """Ids of the groups that are shown; the list beside them has to agree."""
    groups = page.locator("article:not([hidden])").evaluate_all("all => all.map(one => one.id)")
    links = page.locator("nav li:not([hidden]) a")
    assert links.evaluate_all("all => all.map(one => one.hash.slice(1))") == groups
    assert page.locator("#shown").text_content().startswith(f"{len(groups)} of ")
    return groups


def chip(page: Page, facet: str) -> Locator:
    return page.locator(f'[data-facet="{facet}"]')


def current(page: Page) -> str:
    return page.locator("article.current").get_attribute("id")


def colour(part: Locator) -> str:
    return part.evaluate("one => getComputedStyle(one).backgroundColor")


CLEAR = "rgba(0, 0, 0, 0)"


def test_it_loads_and_its_pictures_are_seen(page: Page, atlas: str) -> None:
    page.goto(atlas)
    assert len(shown(page)) == 14
    assert page.locator("h1").text_content() == "Failure Atlas"
    width = page.locator("article img").first.evaluate(
        "async one => { await one.decode(); return one.naturalWidth; }"
    )
    assert width == 112


def test_the_policy_keeps_scripts_and_requests_out(browser: Browser, atlas: str) -> None:
    """What the tests of harmful text could not show if all text were escaped anyway."""
    page = browser.new_page()
    page.goto(atlas)
    blocked = page.evaluate(
        """async () => {
            const seen = [];
            document.addEventListener("securitypolicyviolation", (event) => {
                seen.push(event.effectiveDirective);
            });
            const image = document.createElement("img");
            image.src = "https://example.invalid/a.png";
            document.body.append(image);
            try { await fetch("https://example.invalid/"); } catch {}
            try { document.body.innerHTML = "<p></p>"; } catch {}
            await new Promise((done) => setTimeout(done, 200));
            return seen;
        }"""
    )
    page.close()
    assert {"img-src", "connect-src", "require-trusted-types-for"} <= set(blocked)


def test_filters_combine_and_keep_the_page_s_elements(page: Page, readable: str) -> None:
    page.goto(readable)
    page.evaluate("window.kept = [...document.querySelectorAll('article, .card')]")
    chip(page, "rgr:succeeded").click()
    assert shown(page) == ["s000001p00000"]
    assert page.locator("article:visible").count() == page.locator("nav li:visible").count() == 1
    assert chip(page, "rgr:succeeded").get_attribute("aria-pressed") == "true"
    chip(page, "rgr:failed").click()
    assert shown(page) == ["s000001p00000", "s000001p00001"]
    chip(page, "role:positive").click()
    assert shown(page) == ["s000001p00000"]
    chip(page, "kind:rescued").click()
    assert shown(page) == []
    assert page.locator("#empty").is_visible()
    page.keyboard.press("Escape")
    assert len(shown(page)) == 3
    assert page.evaluate(
        "kept.every((one, i) => one === document.querySelectorAll('article, .card')[i])"
    )


def test_role_and_verdict_have_to_hold_for_one_row(page: Page, readable: str) -> None:
    page.goto(readable)
    chip(page, "role:outside").click()
    chip(page, "acc:right").click()
    assert shown(page) == ["s000001p00000", "s000001p00001"]
    hits = page.locator("#s000001p00001 .card.hit")
    assert hits.evaluate_all("all => all.map(one => one.dataset.session)") == ["4"]
    assert hits.first.is_visible(), "the rows outside are opened where a hit is among them"
    chip(page, "role:outside").click()
    chip(page, "role:negative").click()
    assert shown(page) == []


def test_the_text_filter_reads_questions_golds_and_responses(page: Page, readable: str) -> None:
    page.goto(readable)
    for wanted, groups in {
        "without AN image": ["s000001p00002"],
        "18,900": ["s000001p00000", "s000001p00001"],
        "pseudo-anchor": [],
    }.items():
        page.keyboard.press("/")
        page.keyboard.type(wanted)
        expect(page.locator("#shown")).to_have_text(f"{len(groups)} of 3 groups")
        assert shown(page) == groups
        page.keyboard.press("Escape")
        assert page.evaluate("document.activeElement.id") != "search"
        assert len(shown(page)) == 3


def test_keys_go_from_group_to_group(page: Page, atlas: str) -> None:
    page.goto(atlas)
    groups = shown(page)
    assert current(page) == groups[0]
    for key, place in (("j", 1), ("ArrowRight", 2), ("j", 3), ("k", 2), ("ArrowLeft", 1)):
        page.keyboard.press(key)
        assert current(page) == groups[place]
        assert page.url.endswith(f"#{groups[place]}")
        page.wait_for_function(
            "id => Math.abs(document.getElementById(id).getBoundingClientRect().top - 67) < 8",
            arg=groups[place],
        )
    chip(page, "rgr:succeeded").click()
    kept = shown(page)
    assert 1 < len(kept) < len(groups)
    for _ in groups:
        page.keyboard.press("j")
    assert current(page) == kept[-1]


def test_scrolling_moves_the_current_group(page: Page, atlas: str) -> None:
    page.goto(atlas)
    page.locator("article").nth(4).evaluate("one => one.scrollIntoView()")
    expect(page.locator("article").nth(4)).to_contain_class("current")


def test_keys_go_from_negative_to_negative(page: Page, readable: str) -> None:
    page.goto(readable)
    chosen = page.locator("article.current .card.chosen")
    anchor = page.locator("article.current .card.reference")
    missing = {}
    for key, session in (("", "1"), ("n", "2"), ("n", "3"), ("n", "6"), ("n", "6"), ("p", "3")):
        if key:
            page.keyboard.press(key)
        assert chosen.get_attribute("data-session") == session
        missing[session] = "|".join(anchor.locator(".missing").all_text_contents())
    assert "three" in missing["1"]
    assert "three" not in missing["2"]
    assert set(missing["2"].split("|")) == {"8", "19,800"}


def test_views_switch_what_is_coloured(page: Page, readable: str) -> None:
    page.goto(readable)
    negative = page.locator("#s000001p00000 .card.negative").first
    word, answer = negative.locator(".rationale.replaced").first, negative.locator(".answer")
    assert colour(word) != CLEAR
    page.keyboard.press("v")
    assert page.locator("[data-to=credit]").get_attribute("aria-pressed") == "true"
    assert colour(word) == CLEAR
    assert colour(answer) != CLEAR
    assert "wavy" in answer.evaluate("one => getComputedStyle(one).textDecorationStyle")
    positive = page.locator("#s000001p00000 .card.anchor .answer")
    assert "solid" in positive.evaluate("one => getComputedStyle(one).textDecorationStyle")
    page.keyboard.press("v")
    assert colour(answer) == colour(word) == CLEAR
    page.locator("[data-to=words]").click()
    assert colour(word) != CLEAR


def test_a_link_leads_to_its_group(page: Page, atlas: str) -> None:
    page.goto(f"{atlas}#s000002p00005")
    assert current(page) == "s000002p00005"
    page.locator("#s000002p00005 a.link").click()
    page.locator('nav a[href="#s000002p00007"]').click()
    expect(page.locator("#s000002p00007")).to_contain_class("current")
    chip(page, "rgr:succeeded").click()
    hidden = page.locator("article[hidden]").first.get_attribute("id")
    page.evaluate("id => { location.hash = id; }", hidden)
    expect(page.locator(f"#{hidden}")).to_contain_class("current")
    assert len(shown(page)) == 14, "a link to a group that is filtered out clears the filters"


def test_help_opens_and_closes(page: Page, atlas: str) -> None:
    page.goto(atlas)
    chip(page, "kind:mixed").click()
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#help").is_visible()
    assert chip(page, "kind:mixed").get_attribute("aria-pressed") == "true"


def test_a_narrow_window_has_its_list_behind_a_button(page: Page, atlas: str) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    page.goto(atlas)
    assert not page.locator("#search").is_visible()
    for _ in range(2):
        page.locator("#menu").click()
        assert page.locator("#search").is_visible()
        page.locator("nav a").nth(3).click()
        assert not page.locator("#search").is_visible()
        expect(page.locator("#s000002p00003")).to_contain_class("current")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_focus_can_be_seen(page: Page, atlas: str) -> None:
    page.goto(atlas)
    for _ in range(4):
        page.keyboard.press("Tab")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"


def test_harmful_text_is_shown_as_text(page: Page, tmp_path: Path) -> None:
    """Every text of one group tries to break out, in one row each with broken UTF-8 and 100 kB."""
    rows = [*readable_group(tmp_path, "s000001p00001"), *harmful_group(tmp_path)]
    page.goto(write_atlas(write_rows(tmp_path, 1, rows), Wanted()).path.as_uri())
    assert len(shown(page)) == 2
    group = page.locator(f"#{UID}")
    assert SHOWN in group.locator("h2").text_content()
    assert SHOWN in group.locator(".gold").text_content()
    assert SHOWN in group.locator(".meta").text_content()
    assert SHOWN in group.locator(".cue .text").text_content()
    assert SHOWN in group.locator(".skipped").text_content()
    assert SHOWN in group.locator("[data-session='2'] .text").text_content()
    for session in range(7):
        reading = group.locator(f"[data-session='{session}'] .reading").text_content()
        assert reading.count(SHOWN) == 2, "read and rule"
    broken = group.locator("[data-session='3'] .text").text_content()
    assert r"broken \xff\xc3( and € whole" in broken
    assert len(group.locator("[data-session='5'] .text").text_content()) > LONG
    assert page.locator("article script, article iframe, article [onerror]").count() == 0
    page.keyboard.press("/")
    page.keyboard.type("<script>")
    expect(page.locator("#shown")).to_have_text("1 of 2 groups")


def test_a_group_s_name_may_be_anything(page: Page, tmp_path: Path) -> None:
    name = '"><img src=x onerror="window.harmed = 1"> é'
    rows = [*readable_group(tmp_path, name), *readable_group(tmp_path, "s000001p00000")]
    page.goto(write_atlas(write_rows(tmp_path, 1, rows), Wanted()).path.as_uri())
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert current(page) == name
    page.reload()
    assert current(page) == name


def test_500_groups_are_filtered_and_searched(page: Page, tmp_path: Path) -> None:
    """How long that takes is measured by `tests.benchmarks.atlas_size`."""
    write_readable_groups(tmp_path, 500)
    url = write_atlas(tmp_path, Wanted(limit=500)).path.as_uri()
    page.goto(url)
    chip(page, "rgr:succeeded").click()
    assert page.locator("#shown").text_content() == "250 of 500 groups"
    page.keyboard.press("/")
    page.keyboard.type("24,750")
    page.keyboard.press("Enter")
    page.keyboard.press("j")
    assert current(page) == "s000001p00002"


def test_a_picture_for_the_documentation(tmp_path: Path) -> None:
    folder = write_rows(tmp_path, 1, readable_group(tmp_path, "s000001p00000"))
    for options in ([], ["--whole", "--view", "credit", "--scheme", "dark"]):
        out = tmp_path / "picture.png"
        command = [sys.executable, "-m", "tests.atlas.picture", str(folder), *options]
        group = ["--group", "s000001p00000", "--out", str(out)]
        subprocess.run([*command, *group], cwd=ROOT, check=True)
        assert out.read_bytes().startswith(b"\x89PNG")
        assert out.stat().st_size < 300_000
        out.unlink()
