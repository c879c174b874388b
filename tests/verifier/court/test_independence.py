"""The second reading shares no code with the first, and no computer algebra."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import care_verl.tools.court as court

FOLDER = Path(court.__file__).parent
READING = ("options", "comparison", "agreement", "reading", "expression", "rewritings")
OF_THE_COURT = "care_verl.tools.court"
NO_READING = ("care_verl.common.", "care_verl.tools.statistics")
"""What knows nothing of answers."""


def test_nothing_of_the_verifier_is_loaded() -> None:
    code = f"""
import importlib, json, sys
for name in {READING!r}:
    importlib.import_module("{OF_THE_COURT}." + name)
print(json.dumps(sorted(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = json.loads(run.stdout)
    assert f"{OF_THE_COURT}.reading" in loaded
    assert not {name.split(".")[0] for name in loaded} & {"sympy", "math_verify", "latex2sympy2"}
    assert [name for name in loaded if name.startswith("care_verl.verifier")] == []


@pytest.mark.parametrize("source", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_no_module_names_the_grading(source: Path) -> None:
    """Only what asks for the first reading knows the verifier, and that by its public names."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            module, names = node.module or "", {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            module, names = node.names[0].name, set()
        else:
            continue
        assert module.split(".")[0] not in ("sympy", "math_verify")
        if module.startswith("care_verl") and not module.startswith((OF_THE_COURT, *NO_READING)):
            assert (module, names) == ("care_verl", {"verifier"})
            assert source.name in ("disputes.py", "case.py")
