"""Our sources unpickle nothing, evaluate nothing and load no code from a model's folder.

A check of what is written in `care_verl`, names resolved through its imports; it does not look into
the libraries (`docs/security.md` names what those do) and would not see a name put together at run
time.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import care_verl

SOURCES = sorted(Path(care_verl.__file__).parent.rglob("*.py"))

MODULES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
"""Their formats run code when they are read."""

CALLS = {"eval", "exec", "compile", "__import__", "pandas.read_pickle"} | {
    f"yaml.{name}" for name in ("load", "load_all", "unsafe_load", "full_load", "full_load_all")
}
ONLY_WITH = {"torch.load": ("weights_only", True)}
NEVER_WITH = {"allow_pickle", "trust_remote_code"}


def imported(tree: ast.Module) -> dict[str, str]:
    """Local name -> full name, for every import statement of a module."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                local = alias.asname or alias.name.split(".")[0]
                names[local] = alias.name if alias.asname else local
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return names


def full_name(function: ast.expr, names: dict[str, str]) -> str:
    parts = []
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    if not isinstance(function, ast.Name):
        return ""
    return ".".join([names.get(function.id, function.id), *reversed(parts)])


def unsafe(source: str) -> list[str]:
    """What in this source may run code that comes with data, by line."""
    tree = ast.parse(source)
    names = imported(tree)
    found = [f"import of {name}" for name in names.values() if name.split(".")[0] in MODULES]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = full_name(node.func, names)
        given = {keyword.arg: getattr(keyword.value, "value", None) for keyword in node.keywords}
        if name in CALLS:
            found.append(f"{node.lineno}: {name}")
        if name in ONLY_WITH and given.get(ONLY_WITH[name][0]) is not ONLY_WITH[name][1]:
            found.append(f"{node.lineno}: {name} without {ONLY_WITH[name][0]}")
        switched_on = {key for key in NEVER_WITH & set(given) if given[key] is True}
        found += [f"{node.lineno}: {name}({key}=True)" for key in sorted(switched_on)]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(path.parents[2])))
def test_nothing_that_is_read_can_run_code(path: Path) -> None:
    assert unsafe(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib as j",
        "import torch\ntorch.load(path)",
        "import torch as t\nt.load(path, weights_only=False)",
        "from torch import load\nload(path)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "eval(text)",
        "exec(text)",
        "import yaml\nyaml.load(text, Loader=yaml.Loader)",
        "from yaml import unsafe_load as read\nread(text)",
        "import pandas\npandas.read_pickle(path)",
        "Model.from_pretrained(path, trust_remote_code=True)",
    ],
)
def test_the_check_finds(source: str) -> None:
    assert len(unsafe(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load(path, weights_only=True)",
        "import re\nre.compile(text)",
        "model.eval()",
        "import yaml\nyaml.safe_load(text)",
        "import ast\nast.literal_eval(text)",
        "import json\njson.load(file)",
    ],
)
def test_the_check_lets_pass(source: str) -> None:
    assert unsafe(source) == []
