"""Settings: defaults, strictness, error texts, and that the documentation lists them all.

This does not prove that an adapter passes the settings on.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from care_verl.algorithm import CareConfig
from care_verl.algorithm.config import RegionConfig, RgrConfig
from care_verl.algorithm.settings import Settings
from care_verl.grammar import TagSpec

DOCUMENT = Path(__file__).parents[2] / "docs" / "algorithm.md"


def test_defaults_of_the_paper() -> None:
    """Table 5 and Section 8.2."""
    config = CareConfig()
    assert (config.K, config.M, config.s, config.s_refl, config.delta) == (4, 6, 0.5, 0.25, 0.1)
    assert (config.gamma_pos, config.clip_low, config.clip_high) == (0.005, 0.2, 0.28)
    assert (config.beta, config.equalize, config.rescue) == (0.02, True, True)
    assert config.rgr.cue.startswith("Your previous reasoning was incorrect. Identify the failing")


def test_round_trip() -> None:
    config = CareConfig(K=6, s=1, regions=RegionConfig(think_tag="reasoning", prefilled=True))
    assert CareConfig.from_mapping(config.to_mapping()) == config
    assert CareConfig.from_mapping({}) == CareConfig()
    assert isinstance(config.s, float)
    assert config.regions.tag_spec == TagSpec("reasoning", "answer")


def test_nested_settings() -> None:
    config = CareConfig.from_mapping({"s": 0.4, "rgr": {"mode": "off"}})
    assert (config.s_refl, config.rgr) == (0.2, RgrConfig(mode="off"))


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"rgr": {"mdoe": "off"}}, r"care\.rgr\.mdoe is not a setting \(did you mean 'mode'"),
        ({"regoins": {}}, r"algorithm\.care\.regoins .* 'regions'.*allowed here: K, M, s, s_refl"),
        ({3: 1}, r"algorithm\.care\.3 is not a setting; allowed"),
        ({"K": True}, r"algorithm\.care\.K = True \(bool\) .* expected an integer >= 1"),
        ({"K": "4"}, r"algorithm\.care\.K = '4' \(str\)"),
        ({"K": 4.0}, r"algorithm\.care\.K = 4\.0 \(float\)"),
        ({"K": 0}, "expected an integer >= 1"),
        ({"s": 0}, r"expected a number in \(0, 1\]"),
        ({"s": True}, r"algorithm\.care\.s = True"),
        ({"s": None}, r"algorithm\.care\.s = None"),
        ({"s": 1.5}, r"algorithm\.care\.s = 1\.5"),
        ({"s_refl": 0.6}, r"s_refl = 0\.6 .* in \(0, s\] with s = 0\.5"),
        ({"eps": float("inf")}, r"algorithm\.care\.eps = inf"),
        ({"lam": float("nan")}, r"algorithm\.care\.lam = nan"),
        ({"trim": 0.5}, r"expected a number in \[0, 0\.5\)"),
        ({"rescue": 1}, r"rescue = 1 \(int\) .* true \| false"),
        ({"selector": "near"}, r"nearest \| mixed \| farthest \| random"),
        ({"regions": "rw"}, r"regions = 'rw' \(str\) .* a mapping"),
        ({"regions": {"think_tag": "<think>"}}, r"regions\.think_tag = '<think>'.*a tag name"),
        ({"regions": {"think_tag": "answer"}}, "equals think_tag"),
        ({"regions": {"prefilled": "yes"}}, r"true \| false \| null"),
        ({"rgr": {"cue": " "}}, r"rgr\.cue = ' '"),
        ({"rgr": RegionConfig()}, "expected RgrConfig"),
    ],
)  # fmt: skip
def test_refusals_name_key_value_and_what_is_allowed(mapping: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CareConfig.from_mapping(mapping)


def test_a_subgroup_that_can_never_fill() -> None:
    assert CareConfig(K=7).warnings_for(G=8) == []
    (warning,) = CareConfig(K=8).warnings_for(G=8)
    assert "algorithm.care.K = 8 can never be reached with G = 8" in warning


def leaves(kind: type[Settings]) -> list[tuple[str, dataclasses.Field[Any]]]:
    found = []
    for item in dataclasses.fields(kind):
        if "section" in item.metadata:
            found += leaves(item.metadata["section"])
        else:
            found.append((f"{kind.KEY}.{item.name}".removeprefix("algorithm.care."), item))
    return found


@pytest.mark.parametrize(("key", "item"), leaves(CareConfig))
def test_every_setting_is_documented(key: str, item: dataclasses.Field[Any]) -> None:
    """The table in docs/algorithm.md has a row with this key, default, range and source."""
    words = {"True": "true", "False": "false", "None": "null"}
    shown = str(item.default)
    default = words.get(shown, shown) if item.name != "cue" else "see below"
    allowed = item.metadata["rule"].allowed.replace("|", "\\|")
    row = f"| `{key}` | {default} | {allowed} | {item.metadata['source']} |"
    assert row in DOCUMENT.read_text(encoding="utf-8")


@pytest.mark.parametrize(("tokens", "seconds"), [(1, 10), (1024, 10), (1025, 20), (8192, 80)])
def test_a_decodes_time_limit_scales_with_its_length(tokens: int, seconds: float) -> None:
    assert RgrConfig(timeout_s=10.0).limit_s(tokens) == seconds
