"""The reference of a capture, at both points, in a process without verl."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from care_verl.tools.certificate.certified_rows import ChosenRows
from care_verl.tools.certificate.comparison import distance
from care_verl.tools.certificate.displacement import clipping_scale, displace, save_policy
from care_verl.tools.certificate.job import DISPLACED_POINT, ROLLOUT_POINT, Job
from care_verl.tools.certificate.reference import Symbols, Update, update
from care_verl.training.care.capture_file import Capture

FLOOR = "floor"


def compute_reference(rank: int, job: Job) -> None:
    """Write gradients and numbers of both points, and the displaced policy."""
    from care_verl.platform.extensions import tolerate_misfits

    tolerate_misfits()
    capture, rows = job.read()
    symbols = symbols_of(capture)
    model = load_policy(job.model)
    here = update(model, rows.trained, symbols)
    facts = {ROLLOUT_POINT: _record(job, ROLLOUT_POINT, here, rows, symbols)}
    scale = clipping_scale(model, here.gradients, rows.trained, symbols)
    displace(model, here.gradients, scale)
    save_policy(model, job.model, job.policy(DISPLACED_POINT))
    there = update(model, rows.trained, symbols)
    facts[DISPLACED_POINT] = _record(job, DISPLACED_POINT, there, rows, symbols)
    job.facts.write_text(json.dumps({"scale": scale, "points": facts}))


def _record(
    job: Job, point: str, exact: Update, rows: ChosenRows, symbols: Symbols
) -> dict[str, Any]:
    """Write the gradients; return the numbers, with the distance that float32 alone makes."""
    save_file(exact.gradients, job.gradients(point))
    rounded = update(load_policy(job.policy(point)).float(), rows.trained, symbols)
    floor = distance(rounded.loss, rounded.gradients, exact.loss, exact.gradients, exact.mass)
    numbers = {name: value for name, value in vars(exact).items() if name != "gradients"}
    return {**numbers, FLOOR: asdict(floor)}


def symbols_of(capture: Capture) -> Symbols:
    """The captured settings as the reference takes them."""
    care = capture.settings
    return Symbols(
        gamma_pos=care.gamma_pos,
        eps_w=care.eps_w,
        clip_low=care.clip_low,
        clip_high=care.clip_high,
        beta=care.beta,
        temperature=capture.temperature,
        scheme=care.regions.scheme,
        tags_count=care.regions.tags == "include",
        whole_response_without_answer=care.regions.missing_answer == "whole_response",
    )


def load_policy(folder: Path) -> Any:
    """A policy as transformers builds it, its float32 weights in float64."""
    import transformers

    (architecture,) = transformers.AutoConfig.from_pretrained(folder).architectures
    model = getattr(transformers, architecture).from_pretrained(
        folder, dtype=torch.float32, attn_implementation="sdpa"
    )
    return model.double().eval()
