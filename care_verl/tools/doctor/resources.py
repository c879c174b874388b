"""GPUs and CPUs that Ray has to find: where they are missing, verl waits without a time limit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from omegaconf import DictConfig, OmegaConf

from care_verl.tools.doctor.finding import Check, Finding
from care_verl.tools.doctor.sizes import Sizes

CHECK = Check("resources")
# verl bundles each GPU with this many CPUs (`max_colocate_count` of its resource pools).
CPUS_OF_A_GPU = 3


@dataclass(frozen=True)
class Wanted:
    """What placement asks of each node."""

    nodes: int
    gpus: int

    @property
    def cpus(self) -> int:
        """CPUs of the bundles, and one for each of the run's other actors to begin with."""
        return CPUS_OF_A_GPU * self.gpus + 1

    @classmethod
    def of(cls, config: DictConfig) -> Wanted:
        """That of a run."""
        sizes = Sizes.of(config)
        return cls(sizes.nodes, sizes.gpus_per_node)


def check_machine(config: DictConfig, gpus_here: int) -> list[Finding]:
    """A run that starts its own Ray: one machine, with the resources that Ray is told of.

    gpus_here: GPUs that torch sees, which Ray counts by itself where it is told nothing.
    """
    wanted = Wanted.of(config)
    told = OmegaConf.select(config, "ray_kwargs.ray_init") or {}
    gpus = told.get("num_gpus")
    gpus = gpus_here if gpus is None else int(gpus)
    cpus = told.get("num_cpus")
    cpus = os.cpu_count() or 1 if cpus is None else int(cpus)
    if wanted.nodes > 1:
        return [
            CHECK.warning(
                f"trainer.nnodes = {wanted.nodes}, but no cluster was named: its nodes are not "
                "looked at",
                "give --cluster ADDRESS once Ray runs on the nodes; else set trainer.nnodes=1",
            )
        ]
    return CHECK.unless(
        [*_lacking(wanted, {"GPU": gpus, "CPU": cpus}, "this machine")],
        f"{gpus} GPUs and {cpus} CPUs for Ray; {wanted.gpus} and {wanted.cpus} are needed",
    )


def check_nodes_resources(
    wanted: Wanted, nodes: Mapping[str, Mapping[str, float]]
) -> list[Finding]:
    """A cluster: enough nodes of which each has what one node of the run needs.

    nodes: Ray's resources of each node, by name.
    """
    lacking = {name: _lacking(wanted, resources, name) for name, resources in nodes.items()}
    whole = [name for name, problems in lacking.items() if not problems]
    if len(whole) >= wanted.nodes:
        return []
    return [problem for problems in lacking.values() for problem in problems]


def _lacking(wanted: Wanted, has: Mapping[str, float], where: str) -> list[Finding]:
    problems = []
    if has.get("GPU", 0) < wanted.gpus:
        problems.append(
            CHECK.error(
                f"trainer.n_gpus_per_node = {wanted.gpus}, but Ray has {has.get('GPU', 0):g} GPUs "
                f"on {where}",
                "lower trainer.n_gpus_per_node, or start Ray with more (ray start --num-gpus, "
                "+ray_kwargs.ray_init.num_gpus; on a CPU their number is free)",
            )
        )
    if has.get("CPU", 0) < wanted.cpus:
        problems.append(
            CHECK.error(
                f"Ray has {has.get('CPU', 0):g} CPUs on {where}; verl asks for {CPUS_OF_A_GPU} "
                f"beside each of {wanted.gpus} GPUs and more for other actors, and waits for ever "
                "where they are not there",
                f"set ray_kwargs.ray_init.num_cpus={2 * wanted.cpus}, or start Ray with "
                f"--num-cpus={2 * wanted.cpus}: the number need not be that of the cores",
            )
        )
    return problems
