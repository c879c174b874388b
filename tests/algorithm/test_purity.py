"""The algorithm knows no framework, and the documentation names every public function.

A fresh interpreter shows what an import pulls in; this does not prove that a function never
imports something later, which the source check below does for plain import statements.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import care_verl.algorithm as algorithm

HEAVY = ("verl", "ray", "vllm", "transformers", "hydra", "omegaconf")
SOURCES = sorted(Path(algorithm.__file__).parent.glob("*.py"))


def test_import_is_light() -> None:
    code = f"import sys, care_verl.algorithm; print([m for m in {HEAVY} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_imports_are_torch_numpy_and_the_standard_library(source: Path) -> None:
    allowed = {"torch", "numpy", "care_verl", *sys.stdlib_module_names}
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        for name in names:
            assert name.split(".")[0] in allowed
            ours = ("care_verl.algorithm", "care_verl.grammar")
            assert not name.startswith("care_verl") or name.startswith(ours)


def test_the_grammar_of_tags_imports_the_standard_library_only() -> None:
    """The processes of a verifier import it too, and are small."""
    code = "import sys, care_verl.grammar as g; print(*{m.split('.')[0] for m in sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"torch", "numpy", *HEAVY} & set(run.stdout.split())


def test_every_public_function_is_documented() -> None:
    """The entry points; `tests/docs/test_equations.py` looks at each module's functions."""
    docs = Path(__file__).parents[2] / "docs"
    document = "".join(
        docs.joinpath(f"{p}.md").read_text("utf-8") for p in ("algorithm", "grpo-care")
    )
    functions = [name for name in algorithm.__all__ if name.islower()]
    assert [name for name in functions if f"`{name}" not in document] == []
