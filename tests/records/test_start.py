"""What is written down at a start: secrets are left out, the state of the code is told."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from care_verl.records.schema import RUN
from care_verl.records.start import (
    LEFT_OUT,
    git_state,
    seeds,
    start_of_run,
    versions,
    without_secrets,
)


@pytest.mark.parametrize(
    "key",
    ["password", "WANDB_API_KEY", "hf_token", "token", "db-password", "aws_secret_access_key"],
)
def test_secrets_are_left_out(key: str) -> None:
    found = without_secrets({"a": [{key: "hush"}], "b": {key: {"inner": "hush"}}})
    assert found == {"a": [{key: LEFT_OUT}], "b": {key: LEFT_OUT}}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("image_key", "images"),
        ("max_num_batched_tokens", 8192),
        ("pad_token", None),
        ("eos_token", 3),
        ("reward_fn_key", "data_source"),
        ("tokenizer", "/models/policy"),
    ],
)
def test_what_only_resembles_a_secret_stays(key: str, value: Any) -> None:
    assert without_secrets({key: value}) == {key: value}


def test_a_password_in_an_address_is_left_out() -> None:
    found = without_secrets({"proxy": "http://me:hush@host:80/x", "plain": "http://host/a@b"})
    assert found == {"proxy": f"http://{LEFT_OUT}@host:80/x", "plain": "http://host/a@b"}


def test_seeds_are_found_wherever_they_stand() -> None:
    config = {"data": {"seed": 1}, "actor": {"data_loader_seed": 42, "seeded": True}, "seed": None}
    assert dict(seeds(config)) == {"data.seed": 1, "actor.data_loader_seed": 42, "seed": None}


def test_versions_are_of_what_is_installed() -> None:
    assert {"python", "torch"} <= set(versions())


def git(folder: Path, *command: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", str(folder), *identity, *command], check=True, capture_output=True)


def test_the_state_of_a_checkout(tmp_path: Path) -> None:
    assert git_state(tmp_path) == {}
    git(tmp_path, "init")
    assert git_state(tmp_path) == {}
    (tmp_path / "a").write_text("a")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-m", "a")
    clean = git_state(tmp_path)
    assert (len(clean["commit"]), clean["dirty"]) == (40, False)
    (tmp_path / "a").write_text("b")
    assert git_state(tmp_path) == {**clean, "dirty": True}


def test_without_git_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) == {}


def test_a_start_has_all_columns(tmp_path: Path) -> None:
    assert list(start_of_run({}, 1, tmp_path)) == RUN.names
