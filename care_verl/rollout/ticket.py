"""How a request is tagged: a random key in `SamplingParams.extra_args`.

The key is the request's only name between server and worker. It is drawn here, never derived from
a request id or anything else that comes from outside.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EXTRA_ARG = "care_harvest"
KEY_BYTES = 16


@dataclass(frozen=True)
class Ticket:
    """One harvested request."""

    key: bytes
    prefilled: bool

    @classmethod
    def draw(cls, prefilled: bool) -> Ticket:
        """A new ticket; `prefilled` says that the prompt opens the rationale."""
        return cls(secrets.token_bytes(KEY_BYTES), prefilled)

    def as_extra_args(self) -> dict[str, Any]:
        """The entry for `SamplingParams.extra_args`, in types that vLLM serialises."""
        return {EXTRA_ARG: [self.key.hex(), self.prefilled]}

    @classmethod
    def from_extra_args(cls, extra_args: Mapping[str, Any] | None) -> Ticket | None:
        """The ticket of a request, None if it has none.

        An entry of another form is no ticket: vLLM's HTTP interface lets anyone who reaches it
        fill `extra_args`, and such a request must neither be harvested nor stop the engine.
        """
        entry = (extra_args or {}).get(EXTRA_ARG)
        match entry:
            case [str(key), bool(prefilled)] if _is_key(key):
                return cls(bytes.fromhex(key), prefilled)
        return None


def _is_key(text: str) -> bool:
    return len(text) == 2 * KEY_BYTES and set(text) <= set("0123456789abcdef")
