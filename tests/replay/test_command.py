"""`care-verl replay` from end to end, and the commands of its page."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from care_verl.tools.cli import app
from tests.records.samples import write_consistency_run, write_sample_run
from tests.replay import dumps

DOCS = Path(__file__).parents[2] / "docs" / "replay.md"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["replay", *map(str, arguments)])


def test_a_run_becomes_table_figure_and_numbers(tmp_path: Path) -> None:
    write_sample_run(tmp_path / "run" / "records", steps=3, groups=8)
    result = run(tmp_path / "run", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "differ from the record's by" in result.output
    found = json.loads((tmp_path / "out" / "replay.json").read_text())
    names = [one["name"] for one in found["outcomes"]]
    assert names == ["GRPO", "DAPO", "GRPO-CARE", "CARE"]
    assert found["recorded_distance"] < 1e-5
    assert found["format"] == "care"
    page = (tmp_path / "out" / "replay.md").read_text()
    assert "| rows updated |" in page
    assert "(replay.png)" in page
    with Image.open(tmp_path / "out" / "replay.png") as picture:
        assert picture.width > 800
    texts = ElementTree.parse(tmp_path / "out" / "replay.svg").getroot().itertext()
    assert {"GRPO-CARE", "all wrong groups"} <= {text.strip() for text in texts}


def test_a_run_of_grpo_care_is_replayed_by_its_own_likelihoods(tmp_path: Path) -> None:
    write_consistency_run(tmp_path / "run" / "records", steps=2)
    result = run(tmp_path / "run", "--out", tmp_path / "out")
    output = " ".join(result.output.split())
    assert result.exit_code == 0, output
    assert "Settings of GRPO-CARE: the run's own." in output
    assert "GRPO-CARE: 12 groups have that likelihood in the file (answer_likelihood)" in output
    assert "GRPO-CARE: advantages differ from the run's own by" in output
    assert "replayed without the bonus" not in output
    assert "CARE: without reflections, which the dump does not have." in output


def test_so_is_a_dump_of_such_a_run(tmp_path: Path) -> None:
    """Its advantages have two decimals here."""
    dumps.verl_grpo_care(tmp_path)
    output = " ".join(run(tmp_path, "--out", tmp_path / "out").output.split())
    assert "GRPO-CARE: 1 groups have that likelihood in the file" in output
    found = json.loads((tmp_path / "out" / "replay.json").read_text())
    assert found["consistency_distance"] < 0.01
    assert "have the sign of GRPO's" not in output


def test_a_dump_says_what_stands_in(tmp_path: Path) -> None:
    dumps.trl(tmp_path)
    result = run(tmp_path, "--out", tmp_path / "out")
    output = " ".join(result.output.split())
    assert result.exit_code == 0, output
    assert "CARE: 2 groups have no embeddings. A stand-in takes their place" in output
    assert "CARE: 1 all-wrong groups have no log-probabilities" in output
    assert "without reflections, which the dump does not have" in output
    assert "Reward: accuracy_reward + format_reward, unweighted." in output
    assert "have the sign of GRPO's here in 100.0% of the rows" in output


def test_changed_settings_are_said(tmp_path: Path) -> None:
    dumps.verl_v1(tmp_path)
    options = ["--K", 2, "--M", 3, "--s", 0.25, "--no-equalize", "--no-rescue"]
    result = run(tmp_path, *options, "--out", tmp_path / "out")
    assert "K = 2, M = 3, s = 0.25, equalize = false, rescue = false" in result.output
    found = json.loads((tmp_path / "out" / "replay.json").read_text())
    assert found["outcomes"][-1]["signal"]["all_wrong"] == 0
    assert found["stands"]["without_logp"] == 0


def test_malformed_rows_are_listed_and_only_nothing_usable_fails(tmp_path: Path) -> None:
    file = dumps.verl_v1(tmp_path)
    with file.open("a") as lines:
        lines.write("{broken\n")
    result = run(tmp_path, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert "Left out: 1" in result.output
    assert f"{file}:7: no JSON" in result.output
    assert f"- {file}:7: no JSON" in (tmp_path / "out" / "replay.md").read_text()

    file.write_text("{broken\n" * 7)
    result = run(file, "--format", "verl", "--out", tmp_path / "none")
    assert result.exit_code == 1
    assert "Left out: 7" in result.output
    assert "Nothing usable" in result.output
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "openrlhf"], "'openrlhf' is none of auto, care, verl, trl, swift"),
        (["--format", "trl"], "has no folder of completions_N.parquet"),
        (["--acc-column", "acc", "--gold-column", "gts"], "name one of accuracy and gold column"),
        (["--K", "0"], "algorithm.care.K = 0"),
        (["--think-tag", "answer"], "expected two different names"),
    ],
)
def test_refusals_say_what_to_change(tmp_path: Path, options: list[str], message: str) -> None:
    dumps.verl_v1(tmp_path)
    result = run(tmp_path, *options)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())


def test_needs_no_framework() -> None:
    """Neither the command's start nor a replay loads one; matplotlib waits for the command."""
    heavy = ("verl", "ray", "vllm", "transformers", "hydra", "omegaconf")
    code = (
        "import sys, care_verl.tools.replay.command\n"
        "assert not {'torch', 'matplotlib'} & set(sys.modules)\n"
        "from care_verl.tools.replay import figure, readers, report\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"


def test_the_commands_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_sample_run(Path("outputs/demo/care-seed0/records"), steps=2, groups=6)
    write_consistency_run(Path("outputs/grpo-care/checkpoints/records"), steps=1)
    dumps.verl_v1(Path("rollouts"))
    dumps.trl(Path("trl-run/completions"))
    dumps.swift(Path("swift-run"), dumps.swift_table())
    commands = re.findall(r"^care-verl replay (.+?)(?: +#.*)?$", DOCS.read_text(), re.MULTILINE)
    assert len(commands) >= 5
    for command in commands:
        result = run(*shlex.split(command))
        assert result.exit_code == 0, f"{command}: {result.output}"
