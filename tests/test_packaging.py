"""What an installation by pip holds; it is not built here."""

from __future__ import annotations

import ast
import builtins
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from setuptools import find_packages

from care_verl import cli

ROOT = Path(__file__).parents[1]


def test_every_folder_of_the_package_is_installed() -> None:
    """setuptools leaves out folders without an `__init__.py`, and an editable install hides it."""
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "care_verl").rglob("*.py")}
    found = find_packages(str(ROOT), include=["care_verl", "care_verl.*"])
    assert {".".join(folder.parts) for folder in folders} == set(found)


def test_no_other_package_imports_the_tools() -> None:
    """What a run needs must not need them. The command alone, at the root, starts them."""
    found = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "care_verl").rglob("*.py")
        if "tools" not in path.relative_to(ROOT).parts
        and re.search(r"^\s*(from|import) care_verl\.tools", path.read_text("utf-8"), re.MULTILINE)
    ]
    assert found == ["care_verl/cli.py"]


def test_the_command_says_which_extra_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "find_spec", lambda name: None if name == "rich" else object())
    with pytest.raises(SystemExit) as end:
        cli.app()
    assert end.value.code == "care-verl: no rich here: pip install 'care-verl[tools]'"


def test_the_command_knows_all_libraries_of_its_extra() -> None:
    assert {name.replace("-", "_") for name in tools()} - {"pyyaml"} == set(cli.LIBRARIES)


def test_a_run_needs_no_library_of_the_tools() -> None:
    """What a process of a run imports first, in a Python that has none of them.

    Left alone are those that transformers and torch need themselves.
    """
    code = """
import importlib, pkgutil, sys
for name in ("ijson", "matplotlib", "rich", "scipy", "typer"):
    sys.modules[name] = None
for package in ("algorithm", "common", "methods", "records", "verifier"):
    found = importlib.import_module(f"care_verl.{package}")
    for item in pkgutil.walk_packages(found.__path__, f"care_verl.{package}."):
        importlib.import_module(item.name)
import care_verl.plugin, care_verl.training.hooks, care_verl.training.configuration
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def tools() -> list[str]:
    """Of `setup.py`, which cannot be imported without being run."""
    assigned = {
        target.id: node.value
        for node in ast.parse((ROOT / "setup.py").read_text("utf-8")).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return [Requirement(line).name for line in ast.literal_eval(assigned["TOOLS"])]


def test_all_errors_have_one_root_and_end_in_error() -> None:
    """Read from the sources: some modules can only be imported in another environment."""
    builtin = {name for name, kind in vars(builtins).items() if isinstance(kind, type)}
    found = []
    for path in (ROOT / "care_verl").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            bases = [ast.unparse(base) for base in getattr(node, "bases", [])]
            raised = [b for b in bases if b.endswith("Error") or b in builtin & EXCEPTIONS]
            if isinstance(node, ast.ClassDef) and raised and node.name != "CareVerlError":
                own = all(base not in builtin for base in bases[:1])
                if not (own and node.name.endswith("Error")):
                    found.append(f"{path.name}: {node.name}({', '.join(bases)})")
    assert found == []


EXCEPTIONS = {"Exception", "BaseException"}
