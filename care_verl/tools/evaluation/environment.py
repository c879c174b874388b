"""The environment that LMMs-Eval runs in: its own, laid over this one.

Installed beside verl, LMMs-Eval 0.7.3 replaces math-verify, antlr4, av and wandb by versions that
verl, the verifier or Hydra do not run with. So it has a virtual environment of its own, in a
folder of the cache, that holds LMMs-Eval and the few packages it needs which are missing here.
Everything else (torch, vLLM, transformers, verl, care-verl) it sees where it is installed: a
`.pth` file appends this environment's folders to its path. Nothing is written to them.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import site
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import distributions
from pathlib import Path

from packaging.version import InvalidVersion, Version

from care_verl.common.errors import CareVerlError
from care_verl.common.files import write_text

HOME = "CARE_VERL_EVALUATION_HOME"
LMMS_EVAL = "lmms-eval==0.7.3"
# What its evaluator, its vllm, openai and huggingface models and the tasks named in `benchmarks`
# import and neither verl nor care-verl brings. Its full list cannot be met beside verl, ...
BESIDE = (
    "chardet>=5,<8",
    "evaluate>=0.4.3,<0.5",
    "Levenshtein>=0.25,<1",
    "pytz",
    "sacrebleu>=2.4,<3",
    "tenacity>=8.3,<10",
)
# ... nor can that of the package it prints its last table with, which this one needs besides.
ALONE = (
    LMMS_EVAL,
    "pytablewriter>=1.2,<2",
    *("DataProperty>=1.1,<2", "mbstrdecoder>=1.1,<2", "pathvalidate>=3.2,<4"),
    *("tabledata>=1.3,<2", "tcolorpy>=0.1,<1", "typepy>=1.3.2,<2"),
)
_MADE = "made.json"
_OVERLAY = "care_verl_parent.pth"
_CONSTRAINTS = "constraints.txt"
_TAIL = 15
_NOT_MODULES = (".dist-info", ".egg-info", ".pth", "__pycache__")


class EnvironmentSetupError(CareVerlError):
    """LMMs-Eval's environment cannot be made, or would change what this one imports."""


def tasks_folder() -> Path:
    """The folder with our tasks, for LMMs-Eval's `--include_path`."""
    return Path(__file__).parent / "tasks"


def lmms_eval_command() -> list[str]:
    """The start of a command line that LMMs-Eval's own arguments follow."""
    return [str(lmms_eval_python()), "-m", "care_verl.tools.evaluation.launch"]


def lmms_eval_python(announce: Callable[[str], None] = lambda line: None) -> Path:
    """Python of the environment with LMMs-Eval; makes the environment if it is not there.

    The folder's name depends on the installed versions, so that an upgrade here gets a new one.
    Two processes that ask at once make one. `announce` is told what takes long.

    Raises EnvironmentSetupError, when nothing can be installed or the outcome does not fit.
    """
    folder = environment_folder()
    if not (folder / _MADE).is_file():
        with _locked(folder):
            if not (folder / _MADE).is_file():
                announce(f"Installing LMMs-Eval into an environment of its own, {folder}")
                _make(folder)
    return _python(folder)


def environment_folder() -> Path:
    """Where the environment for the versions installed here lies, or will."""
    pins = [sys.prefix, sys.version, *ALONE, *BESIDE, *_installed(_parent_paths())]
    digest = hashlib.sha256("\n".join(pins).encode()).hexdigest()[:12]
    home = os.environ.get(HOME) or Path.home() / ".cache" / "care-verl" / "evaluation"
    return Path(home).expanduser().absolute() / f"{LMMS_EVAL.replace('==', '-')}-{digest}"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One maker at a time; the kernel opens the lock when its holder ends, whatever ended it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(folder: Path) -> None:
    """Build the environment in place, as its scripts name its path; marked when it is whole."""
    shutil.rmtree(folder, ignore_errors=True)
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)], "make a virtual environment")
    packages = _packages(folder)
    parents = _parent_paths()
    lines = [f"import site; site.addsitedir({path!r})\n" for path in map(str, parents)]
    write_text(packages / _OVERLAY, "".join(lines))
    pins = [pin for pin in _installed(parents) if _is_version(pin.partition("==")[2])]
    write_text(folder / _CONSTRAINTS, "".join(f"{pin}\n" for pin in pins))
    _install(folder, ["--no-deps", *ALONE])
    _install(folder, ["--constraint", str(folder / _CONSTRAINTS), *BESIDE])
    _require_apart(packages, parents)
    _run(
        [str(_python(folder)), "-m", "care_verl.tools.evaluation.launch", "version"],
        "start LMMs-Eval",
    )
    write_text(folder / _MADE, json.dumps(_installed([packages]), indent=2) + "\n")


def _install(folder: Path, what: list[str]) -> None:
    """pip, found through the overlay, takes what is installed here for installed already."""
    command = [str(_python(folder)), "-m", "pip", "install", "--disable-pip-version-check"]
    alone, beside = (" ".join(f"'{each}'" for each in named) for named in (ALONE, BESIDE))
    _run(
        [*command, "--quiet", "--retries", "2", *what],
        f"install {' '.join(what)}",
        "Needed are pip (python -m ensurepip) and a package index. Where none can be reached: "
        f"elsewhere, pip download -d WHEELS --no-deps {alone}; pip download -d WHEELS {beside}; "
        "then bring WHEELS here and set PIP_NO_INDEX=1 PIP_FIND_LINKS=WHEELS",
    )


def _run(command: list[str], purpose: str, advice: str = "") -> None:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode == 0:
        return
    tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_TAIL:])
    raise EnvironmentSetupError(
        "\n".join(filter(None, [f"Could not {purpose}: {' '.join(command)}", tail, advice]))
    )


def _require_apart(packages: Path, parents: Iterable[Path]) -> None:
    """Raise EnvironmentSetupError when a package or module of `packages` hides one of `parents`."""
    parents = list(parents)
    hidden = _names([packages]) & _names(parents)
    hidden |= _modules([packages]) & _modules(parents)
    if hidden:
        raise EnvironmentSetupError(
            f"{packages} would hide what is installed here: {', '.join(sorted(hidden))}; expected "
            "no package in both. Install versions here that fit "
            f"{', '.join(BESIDE)}, and start again"
        )


def _installed(paths: Iterable[Path]) -> list[str]:
    """`name==version` of every package in `paths`, sorted; care-verl itself left out."""
    found = distributions(path=[str(path) for path in paths])
    pins = {f"{each.metadata['Name']}=={each.version}" for each in found if each.metadata["Name"]}
    return sorted(pin for pin in pins if not pin.startswith(("care-verl==", "care_verl==")))


def _is_version(written: str) -> bool:
    """Whether pip reads it: Debian numbers some of its packages otherwise."""
    try:
        Version(written)
    except InvalidVersion:
        return False
    return True


def _names(paths: Iterable[Path]) -> set[str]:
    pins = _installed(paths)
    return {pin.partition("==")[0].lower().replace("_", "-") for pin in pins}


def _modules(paths: Iterable[Path]) -> set[str]:
    """Top-level modules that can be imported from `paths`."""
    entries = (entry.name for path in paths if path.is_dir() for entry in path.iterdir())
    return {name for name in entries if not name.endswith(_NOT_MODULES)}


def _parent_paths() -> list[Path]:
    """The folders that packages are installed in here."""
    paths = [
        *site.getsitepackages(),
        *([site.getusersitepackages()] if site.ENABLE_USER_SITE else []),
    ]
    return [Path(path) for path in paths if Path(path).is_dir()]


def _packages(folder: Path) -> Path:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return folder / "lib" / version / "site-packages"


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"
