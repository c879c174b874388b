"""Keys that were added with `+` and that nothing reads: Hydra adds whatever it is told to.

verl reads a section in one of three ways, and so each added key is looked for where it would be
read: in the fields of the section's dataclass (`_target_`), in verl's source where the section is
plain, or nowhere where the section is passed on whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from care_verl.tools.doctor.composition import closest, compose, keys_of, our_keys
from care_verl.tools.doctor.finding import Check, Finding

CHECK = Check("configuration")
# Arguments of ray.init and of Hydra, and what the recipes make a run's name of.
_READ_ELSEWHERE = ("ray_kwargs.ray_init", "hydra", "run_name")


def check_added_keys(config: DictConfig) -> list[Finding]:
    """An error for each key of `config` that verl does not have and nobody would read."""
    base = compose([])
    return [_unread(key, base) for key in _outermost_added(config, base) if not _is_read(key, base)]


def _outermost_added(config: DictConfig, base: DictConfig) -> Iterator[str]:
    """Added keys whose section verl has. What stands below them is theirs."""
    known = set(keys_of(base))
    for key in keys_of(config):
        section = key.rpartition(".")[0]
        if key not in known and (not section or section in known):
            yield key


def _is_read(key: str, base: DictConfig) -> bool:
    if _starts(key, _READ_ELSEWHERE) or _starts(key, our_sections()):
        return True
    section, _, name = key.rpartition(".")
    node: Any = OmegaConf.select(base, section) if section else base
    if node is None or len(node) == 0:
        # A free mapping, such as `override_config` or `engine_kwargs.vllm`.
        return True
    names = _fields(node)
    return name in names if names is not None else name in words_of_verl()


def our_sections() -> list[str]:
    """Sections whose keys care-verl checks itself, where a run asks for them."""
    return sorted({key.rpartition(".")[0] for key in our_keys()})


def _fields(node: DictConfig) -> set[str] | None:
    """Field names of the dataclass that verl makes of a section; None for a plain section."""
    target = node.get("_target_")
    if target is None:
        return None
    from hydra.utils import get_class

    kind = get_class(target)
    return {item.name for item in fields(kind)} if is_dataclass(kind) else None


@cache
def words_of_verl() -> frozenset[str]:
    """Every name that occurs in verl's Python source."""
    import verl

    sources = Path(str(verl.__file__)).parent.rglob("*.py")
    found = (re.findall(r"[A-Za-z_]\w*", path.read_text(encoding="utf-8")) for path in sources)
    return frozenset(word for words in found for word in words)


def _unread(key: str, base: DictConfig) -> Finding:
    near = closest(key, keys_of(base))
    change = f"did you mean {' or '.join(near)}?" if near else "remove it"
    return CHECK.error(f"{key} was added, but nothing in verl reads it", change)


def _starts(key: str, sections: Iterable[str]) -> bool:
    return any(key == section or key.startswith(f"{section}.") for section in sections)
