"""Which Hugging Face folder a MODEL of the command line stands for.

A folder in Hugging Face's form and an id on the hub are taken as they are. A checkpoint of verl's
is either exported already (`actor/huggingface` with weights) or merged from its shards by verl's
own merger, into `merged` beside them, once.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from care_verl.common.children import run, tail
from care_verl.common.errors import CareVerlError
from care_verl.common.files import all_or_nothing, write_text
from care_verl.common.hub import is_hub_id
from care_verl.training.checkpointing.manifest import EXPORT, MANIFEST, UNFINISHED

MERGED = "merged"
_RECORD = "merged_from.json"
_SHARDING = "fsdp_config.json"
_INDEX = "model.safetensors.index.json"
_WEIGHTS = "model.safetensors"
_TOKENIZER = ("tokenizer.json", "tokenizer.model", "vocab.json")
_PROCESSOR = ("preprocessor_config.json", "processor_config.json")


class UnusableCheckpointError(CareVerlError):
    """A MODEL that cannot be evaluated; the message names the file."""


@dataclass(frozen=True)
class Model:
    """A model to evaluate.

    source: as it was given. path: the folder or the hub id that a backend loads. shards: the folder
    of verl's shards that `path` is, or will be, merged from; None where nothing is merged.
    """

    source: str
    path: str
    shards: Path | None = None

    @property
    def folder(self) -> Path | None:
        """The local folder; None for an id on the hub."""
        return Path(self.path) if Path(self.path).is_dir() else None


def located(source: str) -> Model:
    """The model of `source`, its files checked; nothing is merged yet.

    Raises UnusableCheckpointError for a source that is no model, and for one that lacks a file.
    """
    path = Path(source).expanduser()
    if not path.exists():
        if is_hub_id(source):
            return Model(source, source)
        raise UnusableCheckpointError(
            f"{source}: no such folder, and no hub id; expected a checkpoint of verl "
            "(global_step_N), a Hugging Face folder, or an id such as owner/name"
        )
    path = path.resolve()
    if (path / "config.json").exists():
        _require_loadable(path)
        return Model(source, str(path))
    return _of_verl(source, path / "actor" if (path / "actor").is_dir() else path)


def merged(model: Model, log: Path, started: Callable[[], None] = lambda: None) -> Model:
    """The model with its shards merged; one that was merged before is reused.

    `started` is called before verl's merger runs, which writes to `log`.

    Raises UnusableCheckpointError when the merger fails.
    """
    if model.shards is None:
        return model
    target, origin = Path(model.path), _origin(model.shards)
    if _merged_from(target) == origin:
        return model
    started()
    shutil.rmtree(target, ignore_errors=True)
    with all_or_nothing(target) as unfinished:
        status = run(_merger(model.shards, unfinished), log, {"OMP_WAIT_POLICY": "PASSIVE"})
        if status != 0:
            raise UnusableCheckpointError(
                f"merging {model.shards} failed, status {status}. The end of {log}:\n{tail(log)}"
            )
        _require_loadable(unfinished)
        write_text(unfinished / _RECORD, json.dumps(origin, indent=1))
    return model


def identity(model: Model) -> dict[str, Any]:
    """What tells its weights from others: names, sizes and times of files, or the hub id."""
    if model.shards is not None:
        return {"shards": str(model.shards), **_origin(model.shards)}
    if model.folder is None:
        return {"hub": model.path}
    return {"folder": model.path, **_stamps(sorted(model.folder.glob("*.safetensors")))}


def _of_verl(source: str, folder: Path) -> Model:
    _require_finished(folder)
    export = folder / EXPORT
    if _has_weights(export):
        _require_loadable(export)
        return Model(source, str(export))
    if not (folder / _SHARDING).exists():
        raise UnusableCheckpointError(
            f"{folder} holds neither config.json nor {_SHARDING}; expected a Hugging Face folder "
            "or a checkpoint that verl's FSDP workers saved"
        )
    for shard in _shards(folder):
        if not shard.exists():
            raise UnusableCheckpointError(f"{shard} is missing: not every rank's shard is there")
    _require_files(export)
    return Model(source, str(folder / MERGED), folder)


def _require_finished(folder: Path) -> None:
    """By CARE's manifest, where there is one: whether the save ended, and the shards are whole."""
    for step in (folder, folder.parent):
        if (step / UNFINISHED).exists():
            raise UnusableCheckpointError(
                f"{step} is no whole checkpoint: {step / UNFINISHED} is there"
            )
        if (step / MANIFEST).exists():
            _require_sizes(step, folder)


def _require_sizes(step: Path, folder: Path) -> None:
    """Of what is evaluated: an optimizer's state may have been removed since."""
    expected: dict[str, int] = json.loads((step / MANIFEST).read_text())["files"]
    for name, size in expected.items():
        path = step / name
        if path.parent != folder or not path.name.startswith("model_world_size_"):
            continue
        if not path.exists():
            raise UnusableCheckpointError(f"{path} is missing; {step / MANIFEST} lists it")
        if path.stat().st_size != size:
            raise UnusableCheckpointError(f"{path} has {path.stat().st_size} of {size} bytes")


def _shards(folder: Path) -> Iterator[Path]:
    ranks = json.loads((folder / _SHARDING).read_text())["world_size"]
    for rank in range(ranks):
        yield folder / f"model_world_size_{ranks}_rank_{rank}.pt"


def _require_loadable(folder: Path) -> None:
    """Weights, all of them, and what `_require_files` asks for."""
    if not _has_weights(folder):
        raise UnusableCheckpointError(f"{folder / _WEIGHTS} is missing, and so is {_INDEX}")
    if (folder / _INDEX).exists():
        files = json.loads((folder / _INDEX).read_text())["weight_map"].values()
        for name in sorted(set(files)):
            if not (folder / name).exists():
                raise UnusableCheckpointError(f"{folder / name} is missing; {_INDEX} names it")
    _require_files(folder)


def _require_files(folder: Path) -> None:
    """What is needed beside the weights."""
    for what, names in {
        "configuration": ("config.json",),
        "tokenizer": _TOKENIZER,
        "image processor": _PROCESSOR,
    }.items():
        if not any((folder / name).exists() for name in names):
            raise UnusableCheckpointError(
                f"{folder / names[0]} is missing: no {what}"
                + (f", nor {' or '.join(names[1:])}" if names[1:] else "")
            )


def _has_weights(folder: Path) -> bool:
    return (folder / _WEIGHTS).exists() or (folder / _INDEX).exists()


def _merger(shards: Path, target: Path) -> list[str]:
    merge = [sys.executable, "-m", "verl.model_merger", "merge", "--backend", "fsdp"]
    return [*merge, "--local_dir", str(shards), "--target_dir", str(target)]


def _origin(shards: Path) -> dict[str, Any]:
    return _stamps(_shards(shards))


def _stamps(files: Iterator[Path] | list[Path]) -> dict[str, Any]:
    stats = {path.name: path.stat() for path in files}
    return {"files": {name: [one.st_size, one.st_mtime_ns] for name, one in stats.items()}}


def _merged_from(target: Path) -> dict[str, Any] | None:
    record = target / _RECORD
    return json.loads(record.read_text()) if record.exists() else None
