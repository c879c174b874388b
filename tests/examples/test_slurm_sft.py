"""What `sft.sbatch` starts `torchrun` with, which is a stand-in here as Slurm is.

That the ranks find each other by it, `tests/e2e/test_two_nodes_sft.py` shows.
"""

from __future__ import annotations

from .conftest import Slurm


def test_every_node_has_its_rank_and_the_heads_address(slurm: Slurm) -> None:
    overrides = ["+recipe=sft_a", "x='two  words $HOME *'"]
    status, said = slurm.run("sft.sbatch", "--nodes=3", "--gpus-per-node=4", *overrides)
    assert status == 0, said
    started = {node: given for _, node, _, *given in slurm.named("train")}
    assert {node: given[0] for node, given in started.items()} == {
        f"node{i}": f"--node-rank={i}" for i in range(3)
    }
    for given in started.values():
        # Job 4711: 20000 + 10 × 711.
        assert {
            *["--nnodes=3", "--nproc-per-node=4"],
            *["--master-addr=10.0.0.1", "--master-port=27110"],
        } < set(given)
        module = given.index("-m")
        assert given[module + 1] == "verl.trainer.sft_trainer"
        assert given[-2:] == overrides
    assert slurm.named("ray start", "gate") == []
