"""What is known when a run starts: configuration, versions, state of the code, seeds."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from care_verl.common.versions import installed_versions

PACKAGES = ("care-verl", "verl", "vllm", "torch", "transformers", "ray")
LEFT_OUT = "(left out)"
GIT_SECONDS = 10

_SECRET = re.compile(
    r"(^|[_-])(password|passwd|passphrase|secret|credentials?|token|(api|access|private|secret)"
    r"[_-]?key)$",
    re.IGNORECASE,
)
_USER_IN_ADDRESS = re.compile(r"(?<=://)[^/@\s]+@")


def start_of_run(config: Mapping[str, Any], first_step: int, folder: Path) -> dict[str, Any]:
    """A row of `schema.RUN`: the resolved `config` without its secrets, `folder` is the run's."""
    return {
        "started": datetime.now(timezone.utc),
        "first_step": first_step,
        "config": json.dumps(without_secrets(config), default=str),
        "versions": json.dumps(versions()),
        "git": json.dumps(git_state(folder)),
        "seeds": json.dumps(dict(seeds(config))),
    }


def without_secrets(value: Any) -> Any:
    """A copy in which the values of keys such as `api_key`, `hf_token`, `DB_PASSWORD` are left out.

    So are a user and password in front of an address. Numbers and null stay: they are no secrets,
    and keys such as `pad_token` may have them.
    """
    if isinstance(value, Mapping):
        return {
            key: LEFT_OUT if _is_secret(str(key), inner) else without_secrets(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [without_secrets(inner) for inner in value]
    return _USER_IN_ADDRESS.sub(f"{LEFT_OUT}@", value) if isinstance(value, str) else value


def versions() -> dict[str, str]:
    """Versions of Python and of those among `PACKAGES` that are installed."""
    return {"python": platform.python_version(), **installed_versions(PACKAGES)}


def git_state(folder: Path) -> dict[str, Any]:
    """Commit of the checkout that `folder` is in, and whether it has changes; {} outside of one."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return {}
    changes = _git(folder, "status", "--porcelain")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def seeds(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, int | None]]:
    """Every value of a nested `config` whose key is `seed` or ends in `_seed`, by dotted name.

    None is a seed that was not set.
    """
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from seeds(value, f"{name}.")
        elif key == "seed" or str(key).endswith("_seed"):
            yield name, value


def _is_secret(key: str, value: Any) -> bool:
    return bool(value) and not isinstance(value, int | float) and bool(_SECRET.search(key))


def _git(folder: Path, *command: str) -> str | None:
    """Output of a git command; None where git is not there, refuses or takes too long."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *command],
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            # Reading must not write the index of somebody who works there.
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
