"""`--dry-run`: the resolved configuration and the batch script, written to a folder."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from care_verl.common.errors import CareVerlError
from care_verl.common.files import write_text
from care_verl.tools.doctor.finding import Check, Finding

CHECK = Check("dry run")
CONFIG, SCRIPT = "config.yaml", "train.sbatch"
_SHARED = ("common.sh", "gate.py")
_PACKAGED = "care_verl.slurm"
# What the script gives verl by itself, from the job.
_OF_THE_JOB = ("trainer.nnodes", "trainer.n_gpus_per_node")
_FOLDER = "trainer.default_local_dir"


class ScriptChangedError(CareVerlError, RuntimeError):
    """The batch script that ships with care-verl no longer has a line that is filled in here."""


def write_plan(folder: Path, config: DictConfig, overrides: Sequence[str]) -> list[Finding]:
    """Write `config.yaml` and a batch script that stands by itself. Nothing is started."""
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / CONFIG, OmegaConf.to_yaml(config, resolve=True))
    source = scripts()
    for name in _SHARED:
        shutil.copy(source / name, folder / name)
    handed_on, left_out = _split(overrides)
    template = (source / SCRIPT).read_text(encoding="utf-8")
    trainer = config.trainer
    text = render(template, int(trainer.nnodes), int(trainer.n_gpus_per_node), folder, handed_on)
    write_text(folder / SCRIPT, text)
    findings = [CHECK.ok(f"wrote {folder / CONFIG} and {folder / SCRIPT}; nothing was started")]
    if left_out:
        findings.append(
            CHECK.warning(
                f"{', '.join(left_out)} is not in the script: the checkpoints of a job lie in "
                "CARE_RUN_DIR/checkpoints",
                f"CARE_RUN_DIR=/shared/runs/NAME sbatch {folder / SCRIPT}",
            )
        )
    return findings


def scripts() -> Path:
    """The folder of the scripts: installed with the package, or in the checkout it runs from."""
    if find_spec(_PACKAGED) is not None:
        return Path(str(files(_PACKAGED).joinpath(SCRIPT))).parent
    return Path(__file__).resolve().parents[3] / "examples" / "slurm"


def render(template: str, nodes: int, gpus: int, folder: Path, overrides: Sequence[str]) -> str:
    """The script for so many nodes and GPUs, with these overrides in front of those given later.

    Raises ScriptChangedError where a line that is filled in is not in the template.
    """
    words = " ".join(shlex.quote(override) for override in overrides)
    changes = {
        "#SBATCH --nodes=2\n": f"#SBATCH --nodes={nodes}\n",
        "#SBATCH --gpus-per-node=8\n": f"#SBATCH --gpus-per-node={gpus}\n",
        "CARE_SCRIPTS=${CARE_SCRIPTS:-${SLURM_SUBMIT_DIR:-$PWD}/examples/slurm}\n": (
            f"CARE_SCRIPTS=${{CARE_SCRIPTS:-{shlex.quote(str(folder))}}}\n"
        ),
        "set -euo pipefail\n": f'set -euo pipefail\nset -- {words} "$@"\n',
    }
    for before, after in changes.items():
        if template.count(before) != 1:
            raise ScriptChangedError(
                f"{SCRIPT} has {before.strip()!r} {template.count(before)} times"
            )
        template = template.replace(before, after)
    return template


def _split(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Overrides for the script, and those that it refuses; neither has those of the job."""
    names = {override: override.lstrip("+").partition("=")[0] for override in overrides}
    handed_on = [each for each in overrides if names[each] not in (*_OF_THE_JOB, _FOLDER)]
    return handed_on, [each for each in overrides if names[each] == _FOLDER]
