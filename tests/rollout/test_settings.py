"""What the server is told, and how a request is tagged."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf

from care_verl.rollout.settings import HarvestRequest, HarvestSettings, harvest_settings
from care_verl.rollout.ticket import Ticket


def test_the_section_decides_whether_there_is_a_harvest() -> None:
    assert harvest_settings(None) is None
    assert harvest_settings({"something_else": 1}) is None
    section = OmegaConf.create({"care_harvest": {"think_tag": "reasoning"}})
    assert harvest_settings(section) == HarvestSettings(think_tag="reasoning")


def test_an_unknown_key_is_refused_by_its_full_name() -> None:
    with pytest.raises(ValueError, match=r"rollout\.custom\.care_harvest\.think.*'think_tag'"):
        harvest_settings({"care_harvest": {"think": "reasoning"}})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (False, None),
        (None, None),
        (True, HarvestRequest(prefilled=True)),
        ({"prefilled": False}, HarvestRequest(prefilled=False)),
    ],
)
def test_a_request_overrides_where_the_rationale_begins(value: Any, expected: Any) -> None:
    assert HarvestRequest.parse(value, HarvestSettings(prefilled=True)) == expected


@pytest.mark.parametrize("value", [1, "yes", {}, {"prefilled": 1}, {"prefilled": True, "x": 1}])
def test_a_malformed_request_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="sampling parameter care_harvest"):
        HarvestRequest.parse(value, HarvestSettings())


@pytest.mark.parametrize("prefilled", [False, True])
def test_a_ticket_travels_through_extra_args(prefilled: bool) -> None:
    ticket = Ticket.draw(prefilled)
    assert Ticket.from_extra_args({"other": 1, **ticket.as_extra_args()}) == ticket
    assert Ticket.draw(prefilled) != ticket


@pytest.mark.parametrize(
    "entry", [True, "00" * 16, ["00" * 15, True], ["zz" * 16, True], ["00" * 16, 1], ["00" * 16]]
)
def test_what_is_no_ticket_is_not_harvested(entry: Any) -> None:
    assert Ticket.from_extra_args({"care_harvest": entry}) is None
    assert Ticket.from_extra_args(None) is None
