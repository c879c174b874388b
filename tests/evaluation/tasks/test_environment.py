"""LMMs-Eval's own environment: laid over this one, made once and whole; nothing here changes."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from care_verl.tools.evaluation import environment
from care_verl.tools.evaluation.environment import (
    HOME,
    EnvironmentSetupError,
    environment_folder,
    lmms_eval_python,
    tasks_folder,
)

# Two of these ask at the same moment for an environment whose making takes a second.
_ASKER = """
import sys, time
from care_verl.tools.evaluation import environment

def make(folder):
    folder.mkdir()
    with (folder.parent / "made").open("a") as made:
        made.write("x")
    time.sleep(1)
    (folder / "made.json").write_text("[]")

environment._make = make
print(environment.lmms_eval_python())
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(HOME, str(tmp_path))
    return tmp_path


def test_another_version_here_gets_another_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = environment_folder()
    assert first == environment_folder()
    assert first.parent == home
    installed = environment._installed
    monkeypatch.setattr(environment, "_installed", lambda paths: [*installed(paths), "new==1"])
    assert environment_folder() != first


def test_a_made_one_is_taken_as_it_is(home: Path) -> None:
    folder = environment_folder()
    folder.mkdir()
    (folder / "made.json").write_text("[]")
    assert lmms_eval_python() == folder / "bin" / "python"


def test_two_who_ask_at_once_make_one(home: Path) -> None:
    askers = [
        subprocess.Popen([sys.executable, "-c", _ASKER], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = {asker.communicate(timeout=120)[0] for asker in askers}
    assert answers == {f"{environment_folder() / 'bin' / 'python'}\n"}
    assert (home / "made").read_text() == "x"


def test_without_an_index_it_says_what_to_bring(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    said: list[str] = []
    with pytest.raises(EnvironmentSetupError) as caught:
        lmms_eval_python(said.append)
    message = str(caught.value)
    assert "Could not install --no-deps lmms-eval==0.7.3" in message
    assert "No matching distribution found for lmms-eval==0.7.3" in message
    assert "pip download -d WHEELS --no-deps 'lmms-eval==0.7.3'" in message
    assert "set PIP_NO_INDEX=1 PIP_FIND_LINKS=WHEELS" in message
    folder = environment_folder()
    assert said == [f"Installing LMMs-Eval into an environment of its own, {folder}"]
    # Half made: the next one begins anew.
    assert folder.is_dir()
    (folder / "leftover").write_text("")
    with pytest.raises(EnvironmentSetupError):
        lmms_eval_python()
    assert not (folder / "leftover").exists()


@pytest.mark.parametrize(("name", "module"), [("torch", "other"), ("other", "torch")])
def test_what_would_hide_something_here_is_refused(name: str, module: str, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    _pretend(here, "torch", "torch")
    _pretend(there, name, module)
    with pytest.raises(EnvironmentSetupError, match="would hide what is installed here: torch;"):
        environment._require_apart(there, [here])
    _pretend(tmp_path / "apart", "other", "other")
    environment._require_apart(tmp_path / "apart", [here])


def test_what_pip_cannot_read_is_no_constraint(tmp_path: Path) -> None:
    _pretend(tmp_path, "distro-info", "distro_info", "1.1build1")
    _pretend(tmp_path, "torch", "torch", "2.9.0+cpu")
    (tmp_path / "~orch-2.dist-info").mkdir()
    pins = environment._installed([tmp_path])
    assert pins == ["distro-info==1.1build1", "torch==2.9.0+cpu"]
    assert [environment._is_version(pin.partition("==")[2]) for pin in pins] == [False, True]


def test_all_tasks_are_shipped() -> None:
    names = {file.stem for file in tasks_folder().glob("*.yaml")}
    assert len(names) == 7
    assert (tasks_folder() / "common_yaml").is_file()


@pytest.mark.slow
def test_nothing_here_changes(home: Path) -> None:
    before = _files_here()
    python = lmms_eval_python()
    assert _files_here() == before
    made = json.loads((python.parents[1] / "made.json").read_text())
    assert "lmms_eval==0.7.3" in made
    here = {pin.partition("==")[0].lower() for pin in environment._installed(_folders())}
    assert not here & {pin.partition("==")[0].lower() for pin in made}
    assert _versions_there(python) == [version(name) for name in ("torch", "verl", "math-verify")]


def _pretend(folder: Path, name: str, module: str, number: str = "1") -> None:
    metadata = folder / f"{name}-{number}.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f"Name: {name}\nVersion: {number}\n")
    (folder / module).mkdir()


def _folders() -> list[Path]:
    return environment._parent_paths()


def _files_here() -> dict[str, tuple[int, int]]:
    """Size and time of every installed file, but for byte code, which importing writes."""
    files = (file for path in _folders() for file in path.rglob("*"))
    stats = {str(file): file.stat() for file in files if file.suffix != ".pyc" and file.is_file()}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}


def _versions_there(python: Path) -> list[str]:
    code = (
        "import json, importlib.metadata as m; "
        "print(json.dumps([m.version(n) for n in ('torch', 'verl', 'math-verify')]))"
    )
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    versions: list[str] = json.loads(done.stdout)
    return versions
