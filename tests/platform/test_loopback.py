"""What a run on one machine opens is reachable from this machine only.

Real sockets of real process groups, and Ray's own answer about its address. That a whole run opens
nothing else is shown end to end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from types import ModuleType, SimpleNamespace

import pytest

from care_verl.platform import loopback
from care_verl.platform.contract import ContractError
from care_verl.platform.cpu import PlatformCPU

from .conftest import CheckPython

TELL = """
    import ipaddress, psutil, torch
    total = torch.ones(1)
    torch.distributed.all_reduce(total)
    listening = [c.laddr.ip for c in psutil.Process().net_connections() if c.status == "LISTEN"]
    print(int(total), len(listening), all(ipaddress.ip_address(ip).is_loopback for ip in listening))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
"""
"""Of a group that was joined: how many ranks, how many sockets, and whether all are on loopback."""

JOIN = f"""
    import verl
    from verl.utils.distributed import initialize_global_process_group_ray
    initialize_global_process_group_ray()
{TELL}
"""

MEET = f"""
    import os, torch
    from care_verl.platform.loopback import vllm_group_on_loopback
    at, rank = os.environ["AT"], int(os.environ["RANK"])
    with vllm_group_on_loopback(at, rank, 2):
        torch.distributed.init_process_group("gloo", init_method=at, rank=rank, world_size=2)
{TELL}
"""

ADDRESS = """
    import ray, verl
    from ray._private import ray_constants
    print(ray_constants.ENABLE_RAY_CLUSTER, ray.util.get_node_ip_address())
"""


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.0.1.1", True),
        ("[::1]", True),
        ("localhost", True),
        ("10.0.0.7", False),
        ("0.0.0.0", False),
        ("node-3", False),
        ("", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert loopback.is_loopback(host) is expected


@pytest.mark.slow
def test_a_process_group_on_loopback_listens_nowhere_else(check_python: CheckPython) -> None:
    """torch itself would bind its store to all interfaces. Port 0: any that is free."""
    one = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    world, listening, private = check_python(JOIN, **one).split()
    assert (world, private) == ("1", "True")
    assert int(listening) >= 1


@pytest.mark.slow
def test_two_ranks_meet_there(free_port: str) -> None:
    answers = of_two_ranks(JOIN, MASTER_ADDR="127.0.0.1", MASTER_PORT=free_port)
    assert [answer[0] for answer in answers] == ["2", "2"]
    assert [answer[2] for answer in answers] == ["True", "True"]


@pytest.mark.slow
def test_vllms_workers_meet_there(free_port: str) -> None:
    """As those of 0.24 do, whose executor names a free port of loopback. Without vLLM itself: that
    its worker goes this way is in the listening test end to end, with that release."""
    there = {loopback.GLOO_INTERFACE: "lo", "AT": f"tcp://127.0.0.1:{free_port}"}
    answers = of_two_ranks(MEET, **there)
    assert [answer[0] for answer in answers] == ["2", "2"]
    assert [answer[2] for answer in answers] == ["True", "True"]


def of_two_ranks(code: str, **variables: str) -> list[list[str]]:
    """What two processes print, split into words."""
    ranks = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
            env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", **variables},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    return [process.communicate(timeout=120)[0].split() for process in ranks]


@pytest.fixture
def free_port() -> str:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


@pytest.mark.slow
def test_ray_takes_the_loopback_address_unless_told_otherwise(check_python: CheckPython) -> None:
    plugin = {"VERL_USE_EXTERNAL_PLUGINS": "care_cpu"}
    assert check_python(ADDRESS, **plugin).split() == ["False", "127.0.0.1"]
    told = check_python(ADDRESS, **plugin, **{loopback.RAY_SWITCH: "1"})
    assert told.split()[0] == "True"


@pytest.mark.slow
def test_another_platform_keeps_rays_address(check_python: CheckPython) -> None:
    answer = check_python(ADDRESS, VERL_PLATFORM="nvidia", VERL_USE_EXTERNAL_PLUGINS="care_cpu")
    assert answer.split()[0] == "True"


@pytest.mark.parametrize(("address", "interface"), [("127.0.0.1", "lo"), ("10.0.0.7", None)])
def test_vllms_gloo_follows_rays_address(
    monkeypatch: pytest.MonkeyPatch, address: str, interface: str | None
) -> None:
    monkeypatch.delenv(loopback.GLOO_INTERFACE, raising=False)
    monkeypatch.setattr("ray.util.get_node_ip_address", lambda: address)
    assert PlatformCPU().rollout_env_vars().get(loopback.GLOO_INTERFACE) == interface


def test_a_ray_without_the_switch_is_refused() -> None:
    constants = ModuleType("ray._private.ray_constants")
    constants.__dict__.update(vars(SimpleNamespace(__file__=__file__)))
    with pytest.raises((ContractError, OSError)):
        loopback.keep_ray_on_loopback(constants)
