"""The page's selector, as written: refused while it is unknown, then chosen by."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomllib
import torch

from care_verl.algorithm import CareConfig, care_advantages
from care_verl.algorithm.hard_negatives import SELECTORS, Failures, Selector

PAGE = (Path(__file__).parents[2] / "docs" / "own-selector.md").read_text("utf-8")
SHOWN = dict(re.findall(r"```(?:python|toml)\n# (\S+)\n(.*?)```\n", PAGE, re.DOTALL))


@pytest.fixture
def known() -> Iterator[None]:
    before = dict(SELECTORS)
    exec(SHOWN["my_selector.py"], {})
    yield
    SELECTORS.clear()
    SELECTORS.update(before)


def test_an_unknown_selector_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(
        ValueError, match=r"'middle' .* expected nearest \| mixed \| farthest \| random"
    ):
        CareConfig(selector="middle")


@pytest.mark.usefixtures("known")
def test_it_chooses_what_it_says() -> None:
    """Distances 0.1, 0.5, 0.9 and 0.7 have the mean 0.55: the second and the fourth are nearest."""
    assert CareConfig(selector="middle").selector == "middle"
    candidates = torch.tensor([[True, True, True, True, False]])
    failures = Failures(
        candidates=candidates,
        d_cos=torch.tensor([[0.1, 0.5, 0.9, 0.7, 0.55]], dtype=torch.float64),
        embedding=torch.zeros(5, 2, dtype=torch.float64),
        rows=torch.arange(5)[None],
        uids=["u"],
        count=torch.tensor([2]),
        K=2,
        M=2,
        seed=0,
    )
    assert SELECTORS["middle"](failures).tolist() == [[False, True, False, True, False]]


@pytest.mark.parametrize(
    ("choose", "told"),
    [
        (
            lambda failures: failures.candidates,
            r"chose \[3\] failures of the groups; expected \[2\]",
        ),
        (lambda failures: ~failures.candidates, "places that are no candidates"),
        (lambda failures: failures.candidates[:, :1], r"returned shape \(1, 1\)"),
    ],
)
def test_what_it_chooses_is_checked(
    monkeypatch: pytest.MonkeyPatch, choose: Selector, told: str
) -> None:
    monkeypatch.setitem(SELECTORS, "nearest", choose)
    with pytest.raises(ValueError, match=told):
        care_advantages(
            reward=torch.tensor([1.0, 0.0, 0.0, 0.0]),
            acc=torch.tensor([1.0, 0.0, 0.0, 0.0]),
            uid=["u"] * 4,
            think_len=torch.ones(4, dtype=torch.int64),
            answer_len=torch.ones(4, dtype=torch.int64),
            embedding=torch.eye(4),
            logp_old=torch.zeros(4),
            reflected_from=torch.full((4,), -1),
            config=CareConfig(K=2),
        )


def test_the_entry_point_is_of_verls_group() -> None:
    project = tomllib.loads(SHOWN["pyproject.toml"])["project"]
    assert project["entry-points"] == {"verl.plugins": {"my_selector": "my_selector"}}
