"""Two machines on one, each with a network, a host name, `/dev/shm` and a disk of its own.

They are namespaces of Linux, joined by a virtual cable; the rest of the file system is shared, as
storage of a cluster is. To make them takes root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_HOLD = r"""
mount --make-rprivate /
mount -t tmpfs care-shm /dev/shm
mount -t tmpfs care-disk "$1"
hostname "$0"
printf '127.0.0.1 localhost\n10.99.0.1 node0\n10.99.0.2 node1\n' > "$1/hosts"
mount --bind "$1/hosts" /etc/hosts
rm "$1/hosts"
ip link set lo up
echo ready
exec sleep infinity
"""


@dataclass(frozen=True)
class Node:
    """One of them; it is there as long as the process `pid`."""

    name: str
    pid: int

    @property
    def enter(self) -> list[str]:
        """In front of a command: run it there."""
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--uts"]

    def run(self, *command: str) -> str:
        """Its output."""
        done = subprocess.run([*self.enter, *command], check=True, capture_output=True, text=True)
        return done.stdout

    def left(self, disk: Path) -> list[str]:
        """Files in its shared memory and on its disk."""
        return self.run("find", "/dev/shm", str(disk), "-mindepth", "1").split("\n")[:-1]

    def holds(self, pid: int) -> bool:
        """Whether a process is in its network."""
        return os.stat(f"/proc/{pid}/ns/net") == os.stat(f"/proc/{self.pid}/ns/net")


@contextmanager
def two_nodes(disk: Path) -> Iterator[list[Node]]:
    """node0 and node1; `disk` is where each has its own."""
    if os.geteuid() or not all(map(shutil.which, ("ip", "unshare", "nsenter"))):
        pytest.skip("needs root, and iproute2 and util-linux")
    disk.mkdir(exist_ok=True)
    holders = [_held(f"node{number}", disk) for number in range(2)]
    try:
        pids = [holder.pid for holder in holders]
        _join(pids)
        yield [Node(f"node{number}", pid) for number, pid in enumerate(pids)]
    finally:
        for holder in holders:
            holder.kill()
            holder.wait()
        disk.rmdir()


def _held(name: str, disk: Path) -> subprocess.Popen[str]:
    holder = subprocess.Popen(
        ["unshare", "--net", "--mount", "--uts", "sh", "-ec", _HOLD, name, str(disk)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "ready\n"
    return holder


def _join(pids: Sequence[int]) -> None:
    first, second = pids
    cable = ["ip", "link", "add", "care0", "netns", str(first), "type", "veth"]
    subprocess.run([*cable, "peer", "name", "care0", "netns", str(second)], check=True)
    for number, pid in enumerate(pids, start=1):
        inside = ["nsenter", f"--target={pid}", "--net", "ip"]
        address = ["address", "add", f"10.99.0.{number}/24", "dev", "care0"]
        subprocess.run([*inside, *address], check=True)
        subprocess.run([*inside, "link", "set", "care0", "up"], check=True)
