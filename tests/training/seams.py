"""What a contract test asks of a function of verl's that is hooked into."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any


def require_fragments(seam: str, user: str, target: Any, fragments: Sequence[str]) -> None:
    """The source of `target` has the fragments in their order; `user` is who relies on it."""
    source = inspect.getsource(target)
    position = 0
    for fragment in fragments:
        found = source.find(fragment, position)
        assert found >= 0, (
            f"seam {seam!r}, used by care_verl.{user}: verl's {target.__qualname__} no longer has "
            f"{fragment!r} (in this order: {list(fragments)}); adapt care_verl or use verl 0.9.1"
        )
        position = found + len(fragment)


def require_parameters(seam: str, target: Callable[..., Any], expected: str) -> None:
    """`target` takes the expected parameters, as a list of names with commas."""
    names = inspect.signature(target).parameters
    found = ", ".join(name for name in names if name != "_ray_trace_ctx")  # Ray adds that one
    assert found == expected, (
        f"seam {seam!r}: verl's {target.__qualname__} takes ({found}), care_verl.training was "
        f"written for ({expected}); adapt it or use verl 0.9.1"
    )
