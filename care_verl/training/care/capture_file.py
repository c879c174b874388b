"""A captured step as a file: safetensors whose header holds the rest as JSON.

Needs neither verl nor Ray, so that a reader can do without them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from care_verl.algorithm import CareConfig
from care_verl.algorithm.spans import TokenSpans
from care_verl.common.errors import CareVerlError
from care_verl.common.files import whole_file

FORMAT = "care-verl capture"
VERSION = 1
_HEADER = "capture"
_MEDIA = "media"


class CaptureError(CareVerlError, ValueError):
    """A file that is no capture, or one of another version."""


@dataclass(frozen=True)
class CapturedRow:
    """One row of a step, with L tokens of which the last T are the response.

    uid, session, reflected_from: its group, its number there, its source's number or -1.
    kind: of its group (`mixed`, `all_wrong`, `all_right`); role: in its group's update.
    advantage: A_i, 0 outside S*. token_advantage: [T], a_{i,t} as the actor got it; it and the two
        log-probabilities [T] are there for the rows that went on to the update only.
    input_ids: int64 [L]; position_ids: int64 [L] or [axes, L]; response_mask: int64 [T];
    rollout_log_probs: float32 [T], the rollout engine's. media: the processor's outputs by name.
    """

    uid: str
    session: int
    reflected_from: int
    kind: str
    role: str
    acc: float
    advantage: float
    spans: TokenSpans
    input_ids: Tensor
    position_ids: Tensor
    response_mask: Tensor
    rollout_log_probs: Tensor
    token_advantage: Tensor | None = None
    old_log_probs: Tensor | None = None
    ref_log_prob: Tensor | None = None
    media: dict[str, Tensor] = field(default_factory=dict)

    @property
    def in_s_star(self) -> bool:
        return self.advantage != 0


_TENSORS = (
    "input_ids",
    "position_ids",
    "response_mask",
    "rollout_log_probs",
    "token_advantage",
    "old_log_probs",
    "ref_log_prob",
)
_PLAIN = ("uid", "session", "reflected_from", "kind", "role", "acc", "advantage")


@dataclass(frozen=True)
class Capture:
    """All rows of one step, the dropped ones too, and what its update was made with.

    model: the run's `actor_rollout_ref.model.path`. loss: settings of verl's actor that act on the
    loss beside CARE's, by their names under `actor_rollout_ref.actor`.
    """

    step: int
    model: str
    temperature: float
    loss: dict[str, Any]
    settings: CareConfig
    rows: list[CapturedRow]


def write_capture(path: Path, capture: Capture) -> None:
    """Write the file, whole or not at all. Media that rows share are written once."""
    tensors: dict[str, Tensor] = {}
    media: dict[str, int] = {}
    rows = []
    for number, row in enumerate(capture.rows):
        held = {name: getattr(row, name) for name in _TENSORS}
        for name, value in held.items():
            if value is not None:
                tensors[f"{number}.{name}"] = value.contiguous().clone()
        shared = media.setdefault(_digest(row.media), len(media))
        for name, value in row.media.items():
            tensors.setdefault(f"{_MEDIA}{shared}.{name}", value.contiguous().clone())
        plain = {name: getattr(row, name) for name in _PLAIN}
        rows.append({**plain, "spans": asdict(row.spans), "media": shared})
    header = {
        "format": FORMAT,
        "version": VERSION,
        **{name: getattr(capture, name) for name in ("step", "model", "temperature", "loss")},
        "settings": capture.settings.to_mapping(),
        "rows": rows,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(save(tensors, metadata={_HEADER: json.dumps(header)}))


def read_capture(path: Path) -> Capture:
    """Read a capture. Raises CaptureError for another kind of file or another version."""
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(_HEADER, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise CaptureError(f"{path} cannot be read as safetensors: {error}") from error
    found = header.get("format"), header.get("version")
    if found != (FORMAT, VERSION):
        raise CaptureError(
            f"{path} holds {found[0]!r} of version {found[1]!r}; expected {FORMAT!r} of version "
            f"{VERSION}: capture again with this version of care-verl"
        )
    rows = [_row(number, row, tensors) for number, row in enumerate(header["rows"])]
    return Capture(
        step=header["step"],
        model=header["model"],
        temperature=header["temperature"],
        loss=header["loss"],
        settings=CareConfig.from_mapping(header["settings"]),
        rows=rows,
    )


def _row(number: int, plain: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> CapturedRow:
    media = dict(_named(f"{_MEDIA}{plain['media']}.", tensors))
    spans: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in plain["spans"].items()
    }
    values: dict[str, Any] = {name: plain[name] for name in _PLAIN}
    values |= {name: tensors.get(f"{number}.{name}") for name in _TENSORS}
    return CapturedRow(**values, spans=TokenSpans(**spans), media=media)


def _named(prefix: str, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, value in tensors.items():
        if name.startswith(prefix):
            yield name[len(prefix) :], value


def _digest(media: Mapping[str, Tensor]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(media):
        value = media[name].contiguous().reshape(-1)
        digest.update(f"{name}{value.dtype}{tuple(media[name].shape)}".encode())
        digest.update(value.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
