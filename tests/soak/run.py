"""A long run of the embedded recipe, watched from outside.

    python -m tests.soak.run --steps 300 --out DIR [OVERRIDE ...]

Makes data and a cold-started policy in DIR, unless `--data` names a folder of `care-verl demo` that
has both, starts `main_ppo`, samples every process of the run (see `sampling`) and ends with the
report (see `report`). About 8 s a step on two cores.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

from care_verl.data.embedded.coldstart import cold_start, prepare_embedded
from tests.e2e.running import Run

from . import report
from .sampling import sample

COLD_START_STEPS = 150
CHARTS = 8192


def overrides(data: Path, steps: int) -> list[str]:
    """The embedded recipe on data and policy in `data`, made where they are missing."""
    paths = prepare_embedded(data, seed=0, train_size=CHARTS, test_size=64)
    found = sorted(data.glob("policy-*"))
    policy = found[0] if found else cold_start(paths, seed=0, steps=COLD_START_STEPS)
    return [
        "+recipe=embedded",
        f"data.train_files={paths.train}",
        f"data.val_files={paths.test}",
        f"actor_rollout_ref.model.path={policy}",
        f"trainer.total_training_steps={steps}",
    ]


def watch(run: Run, every: float) -> int:
    """Sample until the run ends; its exit status."""
    with (run.folder / "samples.jsonl").open("w") as file:
        while run.process.poll() is None:
            began = time.monotonic()
            metrics = run.metrics()
            if metrics:
                file.write(json.dumps(sample(run.processes(), metrics[-1][0])) + "\n")
                file.flush()
            time.sleep(max(0.0, every - (time.monotonic() - began)))
    return run.process.wait()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--every", type=float, default=10.0, help="seconds between samples")
    parser.add_argument("--warm-up", type=int, default=report.WARM_UP)
    parser.add_argument("overrides", nargs="*", help="further Hydra overrides")
    args = parser.parse_args(arguments)
    out = args.out.resolve()
    settings = overrides((args.data or out / "data").resolve(), args.steps)
    settings.append(f"trainer.default_local_dir={out / 'checkpoints'}")
    with Run(out, [*settings, *args.overrides]) as run:
        status = watch(run, args.every)
        if status != 0:
            raise SystemExit(f"the run ended with status {status}:\n{run.tail()}")
    report.write(out, args.warm_up)
    print((out / "soak.md").read_text())


if __name__ == "__main__":
    main()
