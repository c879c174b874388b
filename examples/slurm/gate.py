"""Waits until every node of a job is in its Ray cluster with all GPUs.

    python gate.py 10.0.0.1:20000 --gpus 8 --timeout 300 node1 node2

Ends with status 0 when they are all there, and with status 1, saying what is missing, when time is
up. Nodes are told by the names that `ray start --node-name` gave them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

POLL_S = 2.0

Gpus = Mapping[str, float]
"""GPUs of each node that is there, by the node's name."""


def main(arguments: Sequence[str]) -> int:
    options = _parse(arguments)
    deadline = time.monotonic() + options.timeout
    if not _connect(options.address, deadline):
        print(_never_answered(options.address, options.timeout))
        return 1
    registered = wait_for(options.nodes, options.gpus, deadline, registered_gpus)
    lacking = missing(options.nodes, options.gpus, registered)
    if lacking:
        print(_too_few(lacking, len(options.nodes), options.timeout))
        return 1
    print(f"all {len(options.nodes)} nodes are there, with {options.gpus:g} GPUs each")
    return 0


def wait_for(nodes: Sequence[str], gpus: float, deadline: float, look: Callable[[], Gpus]) -> Gpus:
    """What `look` saw when nothing was missing any more, or when time was up."""
    while missing(nodes, gpus, registered := look()) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return registered


def missing(nodes: Iterable[str], gpus: float, registered: Gpus) -> dict[str, str]:
    """Nodes that are not there, or with too few GPUs, and what is the matter with each."""
    problems = {}
    for node in nodes:
        if node not in registered:
            problems[node] = "not registered"
        elif registered[node] < gpus:
            problems[node] = f"{registered[node]:g} GPUs, expected {gpus:g}"
    return problems


def registered_gpus() -> dict[str, float]:
    """Of the cluster that this process is connected to."""
    import ray

    alive: list[dict[str, Any]] = [node for node in ray.nodes() if node["Alive"]]
    return {node["NodeName"]: node["Resources"].get("GPU", 0.0) for node in alive}


def _connect(address: str, deadline: float) -> bool:
    """Whether Ray's head answered in time; it may be starting still."""
    import ray

    while True:
        try:
            ray.init(address=address, log_to_driver=False)
        except ConnectionError as error:
            print(f"no answer from Ray at {address} yet: {error}")
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_S)
        else:
            return True


def _never_answered(address: str, timeout: float) -> str:
    return (
        f"after {timeout:g} s there is no Ray at {address}. The log of the first node says why it "
        "did not start; a port may be taken, or CARE_HEAD_ADDRESS be an address that other nodes "
        "do not reach"
    )


def _too_few(lacking: Mapping[str, str], expected: int, timeout: float) -> str:
    what = "; ".join(f"{node}: {problem}" for node, problem in lacking.items())
    return (
        f"after {timeout:g} s {expected - len(lacking)} of {expected} nodes are there. {what}. "
        "Look into ray-NODE.log of these, and whether the first node's ports are open to them; "
        "where nodes only start slowly, raise CARE_GATE_TIMEOUT_S"
    )


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address", help="host:port of Ray's head")
    parser.add_argument("nodes", nargs="+", help="names given by `ray start --node-name`")
    parser.add_argument("--gpus", type=float, required=True, help="GPUs that each node must have")
    parser.add_argument("--timeout", type=float, required=True, help="seconds")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("interrupted while it waited for the nodes")
