"""math-verify's own test cases, read from its source distribution as pip fetches it.

Only cases that a (gold, prediction, expected) triple under default matching can state apply here.
The others are listed by name with the reason.
"""

import ast
import hashlib
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

RELEASE = "0.9.0"
SHA256 = "45ac6c61344ba056b9e99a660a4bc8d044ed408f730aed68c60435aa5eec4645"

DEFAULTS = {"precision": 6, "strict": True, "allow_set_relation_comp": False}
"""Of math-verify's `compare_strings`; a row with another value does not apply."""

NOT_TRIPLES = {
    "test_precision": "calls sympy_expr_eq with precisions of its own",
    "test_float_precision": "precision 5",
    "test_sqrt_precision": "precision 5",
    "test_symbols": "precision 5",
    "test_boxed_match_priority": "extraction settings",
    "test_normalization_config": "extraction settings",
    "test_gamma_as_function": "asserts on a parsed expression",
    "test_gamma_as_constant": "asserts on a parsed expression",
    "test_verify_raise_on_error": "its comparison is mocked",
    "test_timeout_expr": "its parser is mocked",
    "test_timeout_latex": "its parser is mocked",
    "test_timeout_verify": "its comparison is mocked",
    "test_string_extraction in test_string_extraction.py": "StringExtractionConfig",
}


@dataclass(frozen=True)
class OwnCase:
    """One case of math-verify's tests; `match_types` None stands for its default configuration."""

    name: str
    gold: str
    prediction: str
    expected: bool
    match_types: tuple[str, ...] | None


@dataclass
class OwnCases:
    """What applies, and why the rest does not (name to reason)."""

    cases: list[OwnCase] = field(default_factory=list)
    not_applicable: dict[str, str] = field(default_factory=dict)


def source_distribution(cache: Path) -> Path:
    """The sdist's archive in `cache`, downloaded when absent.

    Raises RuntimeError when pip cannot fetch it or when its hash is another one.
    """
    archive = cache / f"math_verify-{RELEASE}.tar.gz"
    if not archive.exists():
        _download(cache)
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        raise RuntimeError(f"{archive} has sha256 {found}, expected {SHA256}: remove it, try again")
    return archive


def _download(cache: Path) -> None:
    package = f"math-verify=={RELEASE}"
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", "math-verify"]
    done = subprocess.run([*pip, package, "--dest", str(cache)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(
            f"pip could not download {package} as source, whose own tests are the peer cases; "
            f"a package index must be reachable, or the archive placed in {cache}:\n{done.stderr}"
        )


def collect(archive: Path) -> OwnCases:
    """All cases of the archive's test files.

    Raises ValueError for a test that is neither a triple nor named in NOT_TRIPLES: a case is never
    left out in silence.
    """
    found = OwnCases()
    for file, tree in _test_files(archive):
        for function in tree.body:
            if isinstance(function, ast.FunctionDef) and function.name.startswith("test_"):
                _collect_test(found, file, function)
    return found


def _test_files(archive: Path) -> Iterator[tuple[str, ast.Module]]:
    with tarfile.open(archive) as tar:
        for name in sorted(tar.getnames()):
            if "/tests/test_" in name and (member := tar.extractfile(name)):
                yield name.rsplit("/", 1)[-1], ast.parse(member.read())


def _collect_test(found: OwnCases, file: str, function: ast.FunctionDef) -> None:
    for name in (function.name, f"{function.name} in {file}"):
        if name in NOT_TRIPLES:
            found.not_applicable[f"{file}::{function.name}"] = NOT_TRIPLES[name]
            return
    for position, row in enumerate(_rows(file, function)):
        name = f"{file}::{function.name}[{position}]"
        special = [key for key in DEFAULTS if row.get(key, DEFAULTS[key]) != DEFAULTS[key]]
        if special:
            reason = ", ".join(f"{key}={row[key]}" for key in special)
            found.not_applicable[name] = reason
            continue
        expected = bool(row["expected"] if "expected" in row else row["result"])
        match_types = _match_types(function)
        found.cases.append(OwnCase(name, row["gold"], row["pred"], expected, match_types))


def _rows(file: str, function: ast.FunctionDef) -> list[dict]:
    """The rows of the test's `parametrize`, each as argument name to value."""
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith("parametrize"):
            names = [name.strip() for name in ast.literal_eval(decorator.args[0]).split(",")]
            if {"gold", "pred"} <= set(names) and {"expected", "result"} & set(names):
                values = ast.literal_eval(decorator.args[1])
                return [dict(zip(names, row, strict=True)) for row in values]
    raise ValueError(f"{file}::{function.name}: no parametrized triple, and not in NOT_TRIPLES")


def _match_types(function: ast.FunctionDef) -> tuple[str, ...] | None:
    for node in ast.walk(function):
        if isinstance(node, ast.keyword) and node.arg == "match_types":
            return tuple(ast.literal_eval(node.value))
    return None
