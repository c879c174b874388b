"""What stands behind a Ray actor class, which Ray forbids to subclass."""

from __future__ import annotations

from typing import Any


def plain_class(actor_class: Any) -> type:
    """The class that was made an actor class."""
    plain: type = actor_class.__ray_metadata__.modified_class.__ray_actor_class__
    return plain
