"""The verifier inside a Ray actor: off its main thread, and with another process's signals."""

import shutil
import tempfile

import pytest
import ray

RIGHT = (r"<think>a</think><answer>\sqrt{18}</answer>", r"3\sqrt{2}")
ENDLESS = (r"<think>a</think><answer>\sum_{k=1}^{901} k^{k}</answer>", r"3\sqrt{2}")


@pytest.mark.slow
def test_verdicts_in_an_actor() -> None:
    """Right and endless expressions by turns, asked for from several threads of one actor."""

    class Scorer:
        def score(self, response: str, gold: str) -> tuple[float, str]:
            from care_verl.verifier import verify

            verdict = verify(response, gold)
            return verdict.acc, verdict.rule

    # Ray's sockets lie in this folder, and the paths of sockets are short.
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    ray.init(num_cpus=1, include_dashboard=False, _temp_dir=folder, log_to_driver=False)
    try:
        actor = ray.remote(Scorer).options(max_concurrency=4).remote()
        pending = [actor.score.remote(*row) for row in [RIGHT, ENDLESS] * 3]
        scores = ray.get(pending, timeout=120)
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
    assert scores == [(1.0, "latex"), (0.0, "undecided")] * 3
