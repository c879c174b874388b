"""The page without a browser: nothing but text where text belongs, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from care_verl.tools.atlas.html import number
from care_verl.tools.atlas.wanted_groups import Wanted
from care_verl.tools.atlas.write import NothingFoundError, write_atlas
from tests.records.samples import write_consistency_run

from .harm import HARM, SHOWN, UID, harmful_group
from .made import readable_group, write_rows

_NEVER = {"iframe", "object", "embed", "base", "textarea"}


class Parsed(HTMLParser):
    """Elements with their attributes, and the text outside of style and script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._raw = ""
        self.own: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._raw = tag if tag in {"style", "script"} else ""

    def handle_endtag(self, tag: str) -> None:
        self._raw = ""

    def handle_data(self, data: str) -> None:
        if self._raw:
            self.own[self._raw] = self.own.get(self._raw, "") + data
        else:
            self.text += data


def page_of(folder: Path) -> str:
    return write_atlas(folder, Wanted(), folder / "page.html").path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def harmed(tmp_path_factory: pytest.TempPathFactory) -> Parsed:
    folder = tmp_path_factory.mktemp("harm")
    groups = [*readable_group(folder, "s000001p00001"), *harmful_group(folder)]
    return Parsed(page_of(write_rows(folder, 1, groups)))


def test_harmful_text_is_text(harmed: Parsed) -> None:
    """By Python's parser; `test_browser` has it from a browser's."""
    tags = [tag for tag, _ in harmed.elements]
    assert tags.count("script") == tags.count("style") == 1
    assert not _NEVER & set(tags)
    for _, attributes in harmed.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
    # Question (title and sidebar), gold, source and index, and for each of seven rows what was
    # written, read and by which rule; the cue, the reason, a response.
    assert harmed.text.count(SHOWN) >= 12
    assert HARM not in harmed.text


def test_broken_text_is_shown_by_its_bytes(harmed: Parsed) -> None:
    assert r"broken \xff\xc3( and € whole" in harmed.text
    assert "long " * 20_000 in harmed.text


def test_a_missing_image_is_told(harmed: Parsed) -> None:
    assert "../../nothing.png is not among the record's images" in harmed.text


def test_the_policy_admits_this_style_and_this_script_alone(harmed: Parsed) -> None:
    policies = [
        attributes["content"] or ""
        for tag, attributes in harmed.elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert len(policies) == 1
    rules = dict(rule.split(" ", 1) for rule in policies[0].split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for name in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(harmed.own[name].encode()).digest()).decode()
        assert rules[f"{name}-src"] == f"'sha256-{digest}'"


def test_nothing_points_outside(harmed: Parsed) -> None:
    for tag, attributes in harmed.elements:
        for name in ("src", "href", "srcset", "action"):
            value = attributes.get(name) or ""
            assert value.startswith(("data:image/", "#")) or not value, (tag, value)
    assert not re.search(r"url\(|@import|https?:", harmed.own["style"] + harmed.own["script"])


def test_groups_and_rows_are_all_there(harmed: Parsed) -> None:
    attributes = [attributes for _, attributes in harmed.elements]
    assert [one["id"] for one in attributes if "data-group" in one] == ["s000001p00001", UID]
    assert len([one for one in attributes if "data-row" in one]) == 14


def test_the_copied_prefix_is_shown_as_given(harmed: Parsed) -> None:
    classes = [(attributes.get("class") or "").split() for _, attributes in harmed.elements]
    assert any({"rationale", "given"} <= set(names) for names in classes)
    assert not any("given" in names and {"plus", "minus"} & set(names) for names in classes)


def test_numbers_are_rounded_without_a_sign_on_zero() -> None:
    values = [(1.25, False), (-0.0004, False), (-0.0004, True), (0.5, True), (-0.5, True)]
    assert [number(value, 3, sign) for value, sign in values] == [
        "1.250",
        "0.000",
        "0.000",
        "+0.500",
        "−0.500",
    ]
    assert number(None, 3) == "–"


def test_an_empty_selection_says_what_there_is(tmp_path: Path) -> None:
    write_rows(tmp_path, 1, readable_group(tmp_path, "s000001p00001"))
    with pytest.raises(
        NothingFoundError, match=r"No group fits \(rescued\) in step 1\. Groups there: 1, of"
    ):
        write_atlas(tmp_path, Wanted(rescued=True))


def test_a_cut_selection_says_so(tmp_path: Path) -> None:
    groups = [readable_group(tmp_path, f"s000001p0000{place}") for place in range(3)]
    write_rows(tmp_path / "records", 1, [row for rows in groups for row in rows])
    written = write_atlas(tmp_path, Wanted(limit=2))
    assert (written.path, written.shown, written.found) == (tmp_path / "atlas.html", 2, 3)
    text = Parsed(written.path.read_text(encoding="utf-8")).text
    assert "the first 2 of 3 that fit" in text


@pytest.fixture(scope="module")
def consistent(tmp_path_factory: pytest.TempPathFactory) -> Parsed:
    folder = tmp_path_factory.mktemp("consistent")
    return Parsed(page_of(write_consistency_run(folder, steps=1, groups=8)))


def test_rows_of_grpo_care_show_likelihood_and_bonus_and_no_role(consistent: Parsed) -> None:
    cards = [one for tag, one in consistent.elements if tag == "section"]
    assert len(cards) == 8 * 8
    facets = {facet for card in cards for facet in str(card["data-row"]).split()}
    parts = {"role:bonus", "role:no-bonus", "role:inaccurate"}
    assert facets - {"acc:suspect"} == parts | {"acc:right", "acc:wrong"}
    text = " ".join(consistent.text.split())
    for said in ("Accurate, with bonus", "bonus +0.50", "without bonuses", "A 0", "Not accurate"):
        assert said in text
    assert "it has no answer, and so no likelihood" in text
    for unsaid in ("nchor,", "Hard negative", "K′", "rank", "not updated", "outside the update"):
        assert unsaid not in text.split("Keys")[0], unsaid


def test_groups_of_grpo_care_are_neither_rescued_nor_skipped(consistent: Parsed) -> None:
    groups = {str(one["data-group"]) for tag, one in consistent.elements if tag == "article"}
    assert "kind:mixed-uneven" in groups
    assert all(one.startswith("kind:") and one.endswith("even") for one in groups), groups
