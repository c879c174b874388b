"""A run on one machine listens on the loopback interface only.

Ray, vLLM's HTTP server, TransferQueue and torch.distributed listen at the machine's address or at
all of them, most of them without asking who connects. Ray has a switch for machines that are no
part of a cluster; verl, TransferQueue and vLLM's server take their address from Ray. What torch
opens is bound here.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from urllib.parse import urlsplit

import ray
import torch.distributed
from torch.distributed import TCPStore

from care_verl.platform.contract import require_source

RAY_CONSTANTS = "ray._private.ray_constants"
RAY_SWITCH = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Named after where it is off by default: firewalls there ask about every listening port."""

GLOO_INTERFACE = "GLOO_SOCKET_IFNAME"
_LOOPBACK_INTERFACE = "lo"


def keep_ray_on_loopback(constants: ModuleType) -> None:
    """Turn Ray's switch for clusters off, unless the user has set it.

    Concerns a Ray that this process starts; an existing cluster is joined at its own addresses.
    Raises ContractError where Ray does not know the switch.
    """
    require_source(constants, RAY_SWITCH, "ENABLE_RAY_CLUSTER = ")
    os.environ.setdefault(RAY_SWITCH, "0")
    # Ray has read the variable already: verl imports Ray before it loads plugins.
    vars(constants)["ENABLE_RAY_CLUSTER"] = constants.env_bool(RAY_SWITCH, False)


def is_loopback(host: str) -> bool:
    """Whether `host`, an address or a name, is this machine's loopback."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def gloo_variables() -> dict[str, str]:
    """Variables for a process whose gloo must not listen where the host's name points.

    Empty where Ray's node has an address that others can reach: ranks may be elsewhere.
    """
    if not is_loopback(ray.util.get_node_ip_address()):
        return {}
    return {GLOO_INTERFACE: _LOOPBACK_INTERFACE}


@contextmanager
def process_group_on_loopback() -> Iterator[None]:
    """Within: a default process group whose master is on loopback is made to listen only there.

    torch binds its store, which trusts everyone, to all interfaces and has no setting for it. A
    store of the same host and port that this process already serves is used instead.
    """
    host = os.environ.get("MASTER_ADDR", "")
    if torch.distributed.is_initialized() or not is_loopback(host):
        yield
        return
    os.environ.setdefault(GLOO_INTERFACE, _LOOPBACK_INTERFACE)
    # Lives until the group has joined it; the server goes on as long as any of its stores.
    served = _store_of_the_environment(host) if _serves_the_store() else None
    yield
    del served


@contextmanager
def vllm_group_on_loopback(init_method: str, rank: int, world_size: int) -> Iterator[None]:
    """Within: the same for the group that `rank` of a vLLM engine joins by `init_method`.

    vLLM 0.24 has its workers meet at `tcp://`, an address on loopback; later ones in a file.
    """
    meeting = urlsplit(init_method)
    host, port = meeting.hostname or "", meeting.port
    # A file has no port.
    if port is None or rank != 0 or not is_loopback(host):
        yield
        return
    served = _served_store(host, port, world_size)
    yield
    del served


def _serves_the_store() -> bool:
    by_the_launcher = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    elsewhere = by_the_launcher or "DIST_INIT_METHOD" in os.environ
    return int(os.environ.get("RANK", "0")) == 0 and not elsewhere


def _store_of_the_environment(host: str) -> TCPStore:
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    store = _served_store(host, int(os.environ["MASTER_PORT"]), world_size)
    os.environ["MASTER_PORT"] = str(store.port)
    return store


def _served_store(host: str, port: int, world_size: int) -> TCPStore:
    listener = socket.create_server(
        (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
    )
    return TCPStore(
        host_name=host,
        port=listener.getsockname()[1],
        world_size=world_size,
        is_master=True,
        wait_for_workers=False,
        multi_tenant=True,
        master_listen_fd=listener.detach(),
    )
