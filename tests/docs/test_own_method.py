"""The page's files are those of the example, which is trained end to end."""

from __future__ import annotations

import re

import pytest

from tests.examples.own_method import EXAMPLE, ROOT

PAGE = (ROOT / "docs" / "own-method.md").read_text("utf-8")
SHOWN = dict(re.findall(r"```(?:python|toml)\n# (\S+)\n(.*?)```\n", PAGE, re.DOTALL))


def test_every_file_is_shown() -> None:
    files = {path for path in EXAMPLE.rglob("*") if path.suffix in (".py", ".toml")}
    assert SHOWN.keys() == {path.relative_to(EXAMPLE).as_posix() for path in files}


@pytest.mark.parametrize("name", SHOWN)
def test_a_file_as_it_is(name: str) -> None:
    assert SHOWN[name] == (EXAMPLE / name).read_text("utf-8")
