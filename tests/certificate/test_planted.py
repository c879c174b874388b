"""A certificate that cannot fail proves nothing: errors are planted, and it does.

Two real ranks over gloo, on a hand-made step of an untrained model; the rows are no rollouts.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from care_verl.data.embedded.model import save_model
from care_verl.tools.certificate import certify, processes
from care_verl.tools.cli import app
from care_verl.training.care.capture_file import write_capture

from .planted import HONEST, PLANTED_CUTS, PLANTS, planted_rank
from .samples import step

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str, Path]:
    """Exit status and output of the command, and its folder."""
    folder = tmp_path_factory.mktemp("planted")
    save_model(folder / "model", seed=0)
    write_capture(folder / "capture" / "step_1.safetensors", step(folder / "model"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        # Where the ranks, new interpreters, find the errors to plant.
        monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
        monkeypatch.setattr(certify, "CUTS", PLANTED_CUTS)
        monkeypatch.setattr(processes, "run_rank", planted_rank)
        arguments = ["certificate", str(folder / "capture"), "--out", str(folder / "out")]
        result = CliRunner().invoke(app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, result.output, folder / "out"


def test_the_command_fails_and_names_each_breach(made: tuple[int, str, Path]) -> None:
    """Dropped rows have no reference in a capture, so that verl holds their KL at its bound: they
    count in the loss and have no gradient."""
    status, output, _ = made
    assert status == 1
    for name in PLANTS:
        found = "loss" if name == "masks_of_dropped_rows" else "gradient"
        assert f"BREACH: displaced policy, {name} on 2 rank(s), float64: the {found}" in output
    assert (
        f", {HONEST.name} on"
        not in output.split("The certificate does NOT hold")[0].split("BREACH", 1)[1]
    )


def test_only_the_planted_errors_are_breaches(made: tuple[int, str, Path]) -> None:
    found = json.loads((made[2] / "certificate.json").read_text())
    assert {breach["cut"] for breach in found["breaches"]} == set(PLANTS)
    honest = [item for item in found["measurements"] if item["cut"] == HONEST.name]
    assert len(honest) == 2
    for item in honest:
        assert item["distances"]["float64"]["gradient"] < 1e-6


def test_the_page_marks_them(made: tuple[int, str, Path]) -> None:
    page = (made[2] / "certificate.md").read_text()
    marked = [line for line in page.splitlines() if line.startswith("| ") and "✗" in line]
    assert {line.split("|")[1].strip() for line in marked} == set(PLANTS)
