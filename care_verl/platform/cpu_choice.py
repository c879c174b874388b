"""Which platform verl runs on: the CPU, when torch can do nothing else."""

from __future__ import annotations

import os

import torch

ENV_VAR = "VERL_PLATFORM"
NAME = "cpu"


def select() -> bool:
    """Return whether verl runs on the CPU platform, choosing it where the choice is open.

    The choice is open when VERL_PLATFORM is unset. It falls on the CPU when torch was built
    without any accelerator, and is written to the environment so that child processes inherit it.
    """
    chosen = os.environ.get(ENV_VAR, "").strip().lower()
    if not chosen and not has_accelerator_support():
        os.environ[ENV_VAR] = chosen = NAME
    return chosen == NAME


def has_accelerator_support() -> bool:
    """Return whether this torch was built for, or extended with, any accelerator.

    The question is about the build, not about the devices this process can see: a Ray actor
    without a GPU on a GPU machine sees none.
    """
    if torch.version.cuda is not None or torch.version.hip is not None:
        return True
    return torch.accelerator.current_accelerator() is not None
