"""Configuration keys in the pages: CARE's, against its classes; verl's, against verl's own files.

Values are not looked at. Keys under `+`, which a command line adds, are checked for CARE only.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from care_verl.algorithm import CareConfig
from care_verl.algorithm.consistency_config import GrpoCareConfig
from care_verl.algorithm.settings import Settings

from .pages import DOCS, Page, all_pages
from .shell import commands

OURS: dict[type[Settings], str] = {CareConfig: "algorithm.md", GrpoCareConfig: "grpo-care.md"}
"""Configuration classes, and the page with the table of their settings."""

KEY = re.compile(r"([a-z_]\w*(?:\.\w+)+)(?:=.*)?", re.DOTALL)
NOT_VERLS = re.compile(
    r"algorithm\.((grpo_)?care|leave_one_out|NAME).*|ray_kwargs\..*|reward_model\.ground_truth|.*\.(pt|py)"
)
"""What looks like a setting of verl: ours and an example's, Ray's own, a column, files."""


def parametrized(page: Page) -> str:
    return page.name


def leaves(kind: type[Settings]) -> Iterator[str]:
    for item in dataclasses.fields(kind):
        section = item.metadata.get("section")
        if section is None:
            yield f"{kind.KEY}.{item.name}"
        else:
            yield from leaves(section)


def with_sections(keys: Iterator[str]) -> set[str]:
    found = set()
    for key in keys:
        parts = key.split(".")
        found |= {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
    return found


@pytest.mark.parametrize("page", all_pages(), ids=parametrized)
def test_settings_of_ours_exist(page: Page) -> None:
    for kind in OURS:
        known = with_sections(leaves(kind))
        named = re.findall(rf"{re.escape(kind.KEY)}\.[\w.]*\w", page.text)
        # X stands for any key.
        assert {name for name in named if not name.endswith(".X")} <= known


@pytest.mark.parametrize(("kind", "name"), OURS.items(), ids=lambda value: str(value))
def test_settings_of_ours_are_documented(kind: type[Settings], name: str) -> None:
    """By a row of a table that begins with the key, from the section's name on."""
    text = (DOCS / name).read_text("utf-8")
    keys = [key.removeprefix(f"{kind.KEY}.") for key in leaves(kind)]
    assert not [key for key in keys if f"\n| `{key}` |" not in text]


def verls_folder() -> Path:
    """Where verl's configuration lies; verl itself, which takes seconds, is not imported."""
    spec = find_spec("verl")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "trainer" / "config"


@pytest.fixture(scope="module")
def verls() -> list[Any]:
    """verl's configurations of reinforcement learning and of SFT."""
    with initialize_config_dir(str(verls_folder()), version_base=None):
        composed = [compose("ppo_trainer"), compose("sft_trainer_engine")]
    return [OmegaConf.to_container(config) for config in composed]


def has(node: Any, key: str) -> bool:
    for part in key.split("."):
        if not (isinstance(node, dict) and part in node):
            return False
        node = node[part]
    return True


@pytest.mark.parametrize("page", all_pages(), ids=parametrized)
def test_settings_of_verl_exist(page: Page, verls: list[Any]) -> None:
    roots = {str(root) for config in verls for root in config}
    words = {word for command in commands(page) for word in command}
    keys = {match[1] for word in words if (match := KEY.fullmatch(word))}
    named = {key for key in keys if key.split(".")[0] in roots and not NOT_VERLS.fullmatch(key)}
    assert not {key for key in named if not any(has(config, key) for config in verls)}
