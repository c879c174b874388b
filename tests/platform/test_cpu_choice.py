"""The CPU is chosen when nothing is chosen and torch can do nothing else; a choice is obeyed."""

from __future__ import annotations

import os

import pytest
import torch

from care_verl.platform import cpu_choice, threads


@pytest.fixture
def cpu_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: None)


@pytest.mark.usefixtures("cpu_build")
@pytest.mark.parametrize("unset", [None, "", " "])
def test_a_cpu_build_selects_the_cpu_for_children_too(
    monkeypatch: pytest.MonkeyPatch, unset: str | None
) -> None:
    monkeypatch.delenv("VERL_PLATFORM", raising=False)
    if unset is not None:
        monkeypatch.setenv("VERL_PLATFORM", unset)
    assert cpu_choice.select()
    assert os.environ["VERL_PLATFORM"] == "cpu"


@pytest.mark.usefixtures("cpu_build")
def test_another_choice_prevails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERL_PLATFORM", "nvidia")
    assert not cpu_choice.select()
    assert os.environ["VERL_PLATFORM"] == "nvidia"


@pytest.mark.usefixtures("cpu_build")
@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        (torch.version, "cuda", "13.0"),
        (torch.version, "hip", "7.0"),
        (torch.accelerator, "current_accelerator", lambda: torch.device("xla")),
    ],
)
def test_a_build_for_an_accelerator_is_left_to_verl(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, value: object
) -> None:
    monkeypatch.delenv("VERL_PLATFORM", raising=False)
    monkeypatch.setattr(owner, name, value)
    assert not cpu_choice.select()
    assert "VERL_PLATFORM" not in os.environ


def test_the_cpu_can_be_asked_for_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERL_PLATFORM", "CPU")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert cpu_choice.select()


def test_a_wait_policy_of_the_user_prevails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    threads.let_waiting_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
