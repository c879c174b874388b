"""A third method, the example of `docs/own-method.md`: what needs no run.

That it trains is shown end to end (`tests/e2e/test_own_method.py`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from .own_method import installed


def asked(folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), *arguments],
        env={**os.environ, **installed(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_an_installed_method_is_in_the_table_with_its_columns(tmp_path: Path) -> None:
    done = asked(
        tmp_path,
        """
        from care_verl.methods import METHODS
        from care_verl.records.schema import MEANING, ROW
        print(list(METHODS), "baseline" in ROW.names, MEANING["baseline"])
        """,
    )
    expected = "['care', 'grpo_care', 'leave_one_out'] True"
    assert done.stdout.startswith(expected), done.stderr
    assert "Leave-one-out: mean reward of the group's other rows" in done.stdout


TOLD = {
    "+algorithm.leave_one_out.scale=2": "LeaveOneOutTrainer {'scale': 2.0",
    "+algorithm.leave_one_out.scale=0": "algorithm.leave_one_out.scale = 0 (int) is not",
    "+algorithm.leave_one_out.scal=2": "did you mean 'scale'",
    "algorithm.use_kl_in_reward=True": "Leave-one-out needs False: the reward has no KL",
    "trainer.use_v1=False": "trainer.use_v1 = False; Leave-one-out needs True",
}
"""By override: a part of what a run says with it."""

VALIDATE = """
    import sys
    from hydra import compose, initialize_config_module
    import verl.trainer.main_ppo
    from verl.trainer.ppo.v1.trainer_base import get_trainer_cls
    from verl.utils.config import validate_config

    def told(override):
        config = compose(
            "ppo_trainer",
            overrides=[
                "algorithm.adv_estimator=leave_one_out",
                "actor_rollout_ref.rollout.name=vllm",
                "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=4",
                "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=4",
                override,
            ],
        )
        try:
            validate_config(config=config, use_reference_policy=False, use_critic=False)
        except ValueError as refusal:
            return str(refusal)
        trainer = get_trainer_cls(config.trainer.v1.trainer_mode).__name__
        return f"{trainer} {config.algorithm.leave_one_out}"

    with initialize_config_module("verl.trainer.config", version_base=None):
        for override in sys.argv[1:]:
            print(f"{override}: {told(override)}")
"""


@pytest.mark.slow
def test_its_settings_complete_a_run_or_refuse_it(tmp_path: Path) -> None:
    done = asked(tmp_path, VALIDATE, *TOLD)
    assert done.returncode == 0, done.stderr
    answers = {line.partition(": ")[0]: line for line in done.stdout.splitlines()}
    for override, told in TOLD.items():
        assert told in answers[override]


def test_whichever_is_imported_first(tmp_path: Path) -> None:
    """In a worker of Ray's it is the method's own module, which imports care-verl's table."""
    done = asked(
        tmp_path,
        """
        import leave_one_out
        from care_verl.methods import METHODS
        print(METHODS["leave_one_out"] is leave_one_out.LEAVE_ONE_OUT)
        """,
    )
    assert done.stdout == "True\n", done.stderr
