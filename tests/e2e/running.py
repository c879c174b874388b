"""Starting `main_ppo` as a user does, and reading what it left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

TIMEOUT_S = 420


@dataclass
class Run:
    """A `main_ppo` process in a session of its own; its folder holds log and metrics."""

    folder: Path
    overrides: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Run:
        self.folder.mkdir(parents=True, exist_ok=True)
        # Unix sockets in Ray's folder must have short paths.
        self._temporary = tempfile.TemporaryDirectory(prefix="care")
        self._before = _sockets() | _shared_memory()
        self.mark = f"CARE_TEST_RUN={self.folder}"
        name, value = self.mark.split("=")
        environment = {
            **os.environ,
            "VERL_FILE_LOGGER_PATH": str(self.folder / "metrics.jsonl"),
            "TENSORBOARD_DIR": str(self.folder / "tensorboard"),
            "OMP_WAIT_POLICY": "PASSIVE",
            "TMPDIR": self._temporary.name,
            name: value,
            **self.environment,
        }
        self._output = (self.folder / "run.log").open("wb")
        self.process = subprocess.Popen(
            self.command(self._temporary.name),
            cwd=self.folder,
            env=environment,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.processes():
            process.kill()
        self.process.wait()
        self._output.close()
        self._temporary.cleanup()

    def command(self, temporary: str) -> list[str]:
        """What is started; `temporary` is a folder with a short name that goes with the run."""
        command = [sys.executable, "-m", "verl.trainer.main_ppo", *self.overrides]
        return [*command, f"+ray_kwargs.ray_init._temp_dir={temporary}/ray"]

    def processes(self) -> list[psutil.Process]:
        """Every living process of this run, found by its environment: children of any depth."""
        found = []
        name, value = self.mark.split("=")
        for process in psutil.process_iter():
            try:
                if process.environ().get(name) == value and process.status() != "zombie":
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return found

    def named(self, text: str) -> list[psutil.Process]:
        """Living processes of this run with `text` in their command line."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                if text in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def listeners(self) -> set[tuple[str, str, int]]:
        """Where this run listens now: role, address and port of every TCP socket."""
        found = set()
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                # Its programme alone, or what Ray calls it: arguments can be long.
                who = (process.cmdline() or [process.name()])[0]
                for connection in process.net_connections("tcp"):
                    if connection.status == psutil.CONN_LISTEN:
                        # IPv4 on an IPv6 socket.
                        address = connection.laddr.ip.removeprefix("::ffff:")
                        found.add((who, address, connection.laddr.port))
        return found

    def leftovers(self, within: float = 20.0) -> list[str]:
        """What is left of the run, once it has ended and `within` seconds to settle are over.

        Living processes; files and folders in its temporary folder, sockets in /tmp and shared
        memory, as far as no living process has them open. Kept by Ray and verl in any run, and not
        listed: Ray's folder of logs, verl's empty lock files, PyTorch's cache of compiled kernels.
        """
        deadline = time.monotonic() + within
        while (found := self._leftovers()) and time.monotonic() < deadline:
            time.sleep(0.5)
        return found

    def _leftovers(self) -> list[str]:
        processes = []
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                processes.append(" ".join(process.cmdline()))
        kept = ("ray", "ckpt_", "torchinductor_")
        names = [p for p in Path(self._temporary.name).iterdir() if not p.name.startswith(kept)]
        new = (_sockets() | _shared_memory()) - self._before
        return processes + sorted(map(str, names)) + sorted(new - _in_use(new))

    def finish(self, timeout: float = TIMEOUT_S) -> int:
        """Wait for the end; its exit status."""
        return self.process.wait(timeout)

    def interrupt(self) -> None:
        """What Ctrl-C in a terminal sends."""
        self.process.send_signal(signal.SIGINT)

    def wait_for_step(self, step: int, timeout: float = TIMEOUT_S) -> None:
        """Return once the metrics of `step` are written. Fails when the run ends before."""
        end = time.monotonic() + timeout
        while not any(number >= step for number, _ in self.metrics()):
            assert self.process.poll() is None, f"the run ended early:\n{self.tail()}"
            assert time.monotonic() < end, f"step {step} did not come:\n{self.tail()}"
            time.sleep(0.5)

    def metrics(self) -> list[tuple[int, dict[str, Any]]]:
        """(step, metrics) of every finished line."""
        if not self.metrics_path.exists():
            return []
        lines = self.metrics_path.read_text().splitlines(keepends=True)
        records = [json.loads(line) for line in lines if line.endswith("\n")]
        return [(int(record["step"]), record["data"]) for record in records]

    @property
    def metrics_path(self) -> Path:
        return self.folder / "metrics.jsonl"

    @property
    def log(self) -> str:
        return (self.folder / "run.log").read_text(errors="replace")

    def tail(self, lines: int = 60) -> str:
        return "\n".join(self.log.splitlines()[-lines:])


def _sockets() -> set[str]:
    """Unix sockets in /tmp, where verl and vLLM make theirs whatever TMPDIR says."""
    return {entry.path for entry in os.scandir("/tmp") if _is_socket(entry.path)}


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _shared_memory() -> set[str]:
    return {entry.path for entry in os.scandir("/dev/shm")}


def _in_use(paths: set[str]) -> set[str]:
    """Those that a living process, of whatever run, listens on or has mapped."""
    held = Path("/proc/net/unix").read_text()
    for process in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            held += process.read_text()
    # A semaphore's creator maps it under a name that is gone, so inodes count as well.
    return {path for path in paths if path in held or f" {_inode(path)} " in held}


def _inode(path: str) -> int:
    try:
        return os.lstat(path).st_ino
    except FileNotFoundError:
        return -1
