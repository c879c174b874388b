"""The command's answers, and that an installed package has its templates."""

from __future__ import annotations

import subprocess
import sys
from distutils.core import run_setup
from pathlib import Path

import pytest
from typer.testing import CliRunner

from care_verl.tools.cli import app
from tests.records.samples import write_sample_run

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["atlas", *arguments])
    return result.exit_code, " ".join(result.output.replace("│", " ").split())


def test_a_page_is_written_beside_the_record(tmp_path: Path) -> None:
    write_sample_run(tmp_path / "records", steps=2)
    code, output = run(str(tmp_path), "--step", "1")
    assert (code, output) == (0, f"6 groups: {tmp_path / 'atlas.html'}")
    assert "<title>" in (tmp_path / "atlas.html").read_text(encoding="utf-8")


def test_a_page_is_written_where_it_is_wanted(tmp_path: Path) -> None:
    write_sample_run(tmp_path, steps=2)
    out = tmp_path / "new" / "page.html"
    code, output = run(str(tmp_path), "--repaired", "--limit", "1", "--out", str(out))
    assert code == 0
    assert output.startswith("1 group of ")
    assert out.exists()


def test_nothing_found_is_told_with_status_1(tmp_path: Path) -> None:
    write_sample_run(tmp_path, steps=2)
    code, output = run(str(tmp_path), "--search", "no such [text]")
    assert code == 1
    assert "No group fits (with “no such [text]”) in steps 1–2. Groups there: 12, of" in output
    assert not (tmp_path / "atlas.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--step", "9"], "step 9 is not in"), (["--search", " "], "search is blank")],
)
def test_what_cannot_be_is_refused(tmp_path: Path, arguments: list[str], message: str) -> None:
    write_sample_run(tmp_path, steps=1)
    code, output = run(str(tmp_path), *arguments)
    assert code == 2
    assert message in output


def test_a_folder_without_a_record_is_refused(tmp_path: Path) -> None:
    code, output = run(str(tmp_path))
    assert code == 2
    assert "holds no record" in output


def test_neither_torch_nor_verl_is_needed() -> None:
    """In a process of its own, since others of this one have loaded them."""
    code = (
        "import sys, care_verl.tools.atlas.write, care_verl.tools.atlas.command\n"
        "print(sorted({'torch', 'verl', 'ray', 'vllm', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_page_s_files_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By setuptools' own list of what a wheel holds; no wheel is built."""
    monkeypatch.chdir(ROOT)
    build = run_setup("setup.py", stop_after="init").get_command_obj("build_py")
    build.ensure_finalized()
    files = {package: names for package, _, _, names in build.data_files}
    folder = ROOT / "care_verl" / "tools" / "atlas" / "page"
    assert set(files["care_verl.tools.atlas"]) == {f"page/{path.name}" for path in folder.iterdir()}
