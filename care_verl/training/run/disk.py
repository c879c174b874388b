"""A disk on which the run cannot write: the error says which folders, and how full they are.

Dumps and records are written in threads whose errors come up a step later; the system's own message
names no file.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from care_verl.common.errors import CareVerlError
from care_verl.methods import METHODS

_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENOTDIR, errno.EEXIST}
_FOLDERS = ("default_local_dir", "rollout_data_dir", "validation_data_dir")
_OURS = tuple(
    f"algorithm.{method}.{what}.folder" for method in METHODS for what in ("capture", "records")
)
_METRICS = "VERL_FILE_LOGGER_PATH"


class UnwritableError(CareVerlError, RuntimeError):
    """A file of the run could not be written."""


@contextmanager
def explaining_disks(config: DictConfig) -> Iterator[None]:
    """Within it, a failed write raises UnwritableError, which names what the run writes where."""
    try:
        yield
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        places = "; ".join(_place(name, path) for name, path in _written(config).items())
        raise UnwritableError(
            f"a file of the run could not be written: {error}. The run writes to {places}. Make "
            "room or choose another place, and resume from the last checkpoint"
        ) from error


def existing_part(path: Path) -> Path:
    """`path`, or the nearest folder above it that is there and can be reached."""
    whole = path.absolute()
    return next(part for part in (whole, *whole.parents) if os.path.exists(part))


def _written(config: DictConfig) -> dict[str, Path]:
    paths = {f"trainer.{name}": config.trainer.get(name, None) for name in _FOLDERS}
    paths |= {name: OmegaConf.select(config, name) for name in _OURS}
    paths[_METRICS] = os.environ.get(_METRICS)
    return {name: Path(path) for name, path in paths.items() if path}


def _place(name: str, path: Path) -> str:
    free = shutil.disk_usage(existing_part(path)).free / 2**20
    return f"{name} = {path} ({free:.0f} MiB free)"
