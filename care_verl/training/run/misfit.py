"""A fault that one row shows and all rows have ends the run at once, not after its whole step.

A group that fails costs its prompt. Where every group will fail, decoding the rest of a step's
prompts before saying so costs minutes, and on large models hours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from care_verl.common.errors import CareVerlError

SINGLE_TURN = "single_turn_agent"
"""verl's agent loop that answers once; the only one that is supported."""

FIRST_PROMPTS = 8
"""Prompts of an agent-loop worker with a failed row, and none with a good one, that end the run.
Were every second row at fault by chance, this would end one worker's run in 2^8."""

_OF_TOOLS = ("tools_kwargs", "interaction_kwargs")


class MisfitError(CareVerlError, ValueError):
    """Data, reward function or model do not fit the run: the next row would fail as this one."""


class FirstRows:
    """Whether any decoded row has been scored and put, as each agent-loop worker sees it."""

    def __init__(self) -> None:
        self._failed: set[str] = set()
        self._any_passed = False

    def passed(self) -> None:
        """A row was scored and put: later failures are of their rows."""
        self._any_passed = True

    def never_fit(self, uid: str) -> bool:
        """Count a failed row of prompt `uid`. True once the first prompts have nothing but such."""
        self._failed.add(uid)
        return not self._any_passed and len(self._failed) >= FIRST_PROMPTS


def several_turns(row: Mapping[str, Any]) -> str | None:
    """What of a row asks for an agent of several turns or with tools; None where nothing does.

    `row` is one of the data files, or the fields of a prompt in an agent-loop worker.
    """
    agent = row.get("agent_name") or SINGLE_TURN
    if agent != SINGLE_TURN:
        return f"agent_name = {str(agent)!r}"
    for fields in (row, row.get("extra_info")):
        for name in _OF_TOOLS:
            tools = fields.get(name) if isinstance(fields, Mapping) else None
            # Parquet gives every row the keys of all rows, with None.
            if isinstance(tools, Mapping) and any(tools[key] is not None for key in tools):
                return f"{name} for {', '.join(sorted(map(str, tools)))}"
    return None


def require_single_turn(row: Mapping[str, Any]) -> None:
    """Raise MisfitError for a row that asks for several turns or for tools."""
    asked = several_turns(row)
    if asked is not None:
        raise MisfitError(
            f"the row has {asked}; rows of several turns, or with calls of tools, are not "
            f"supported yet: expected agent_name = {SINGLE_TURN!r} and no tools. Remove the "
            "columns from the data"
        )
