"""What a killed vLLM server would leave on a node: its engine, sockets, shared memory, files.

Ray ends its actors with SIGKILL, at the end of a good run too, and vLLM then removes nothing: seven
sockets and a file in the temporary folder, 400 MB of shared memory. Its engine process does not
notice that the server is gone; Ray ends it, unless Ray's own processes are killed at that moment. A
small process of the system's shell outlives the server, ends the engine and removes the rest.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
from torch._inductor.runtime.cache_dir_utils import default_cache_dir

SHARED_MEMORY = "/dev/shm"
_SOCKETS = "VLLM_RPC_BASE_PATH"
_PYTHONS_OWN = ("psm_", "sem.mp-")
"""Names of `multiprocessing`'s shared memory and semaphores."""

_TRACKER = "multiprocessing.resource_tracker"

# Reads paths and processes until every holder of the other end of its input is gone. In the
# background and in a session of its own, or Ray would end it together with the server. A process
# may have ended long before and its id be another's by then: only the start time tells them apart.
# In /proc/PID/stat it is the 20th field behind the name, which stands in parentheses and may itself
# have spaces, parentheses and line ends.
_SWEEP = """exec 3<&0
(
    engine=
    while IFS= read -r line; do
        case $line in
            /*) set -- "$@" "$line" ;;
            *) engine="$engine $line" ;;
        esac
    done
    started() {
        stat=$(cat "/proc/$1/stat" 2>/dev/null) || return
        set -- ${stat##*)}
        echo "${20}"
    }
    for process in $engine; do
        pid=${process%:*}
        [ "$(started "$pid")" = "${process#*:}" ] && kill -9 "$pid"
    done
    rm -rf -- "$@"
) <&3 3<&- &"""
_START_TIME = 19
"""Index of the start time, in clock ticks since boot, among the fields behind the name."""


class EngineCleanup:
    """Removes paths, and ends processes, when the process that made it has ended, however."""

    def __init__(self) -> None:
        reading, self._sweeper = os.pipe()
        subprocess.run(
            ["/bin/sh", "-c", _SWEEP, "care-sweeper"],
            stdin=reading,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            check=True,
        )
        os.close(reading)

    def redirect_temporary_files(self) -> None:
        """From now on this process and its children have a temporary folder of their own."""
        # The cache of compiled kernels lies in the temporary folder too and is worth keeping.
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", default_cache_dir())
        if _SOCKETS not in os.environ:
            # A socket's path has 107 bytes at most, which a site's temporary folder may fill.
            os.environ[_SOCKETS] = tempfile.mkdtemp(prefix="care-", dir="/tmp")
            self._end_with_us([os.environ[_SOCKETS]])
        folder = tempfile.mkdtemp(prefix="care-vllm-")
        self._end_with_us([folder])
        os.environ["TMPDIR"] = tempfile.tempdir = folder

    def claim_engine(self) -> None:
        """Have the children ended with this process, and what all share by now removed.

        To be called once the engine runs.
        """
        server = psutil.Process()
        children = server.children(recursive=True)
        self._end_with_us(_with_start(child) for child in children if not _ends_by_itself(child))
        family = [server, *children]
        mapped = {inode for process in family for inode in _mapped_inodes(process.pid)}
        with os.scandir(SHARED_MEMORY) as entries:
            ours = [e.path for e in entries if e.name.startswith(_PYTHONS_OWN)]
        self._end_with_us(path for path in ours if _inode(path) in mapped)

    def _end_with_us(self, lines: Iterable[str]) -> None:
        """Absolute paths of files and folders to be removed, or processes to be ended."""
        for line in lines:
            os.write(self._sweeper, f"{line}\n".encode())


def _ends_by_itself(process: psutil.Process) -> bool:
    """Python's tracker of shared memory, which cleans up then, and what has ended already."""
    try:
        return _TRACKER in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return True


def _with_start(process: psutil.Process) -> str:
    """A process as `ID:START`, start in clock ticks since boot; no START once it has ended."""
    try:
        stat = Path(f"/proc/{process.pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return f"{process.pid}:ended"
    return f"{process.pid}:{stat.rpartition(')')[2].split()[_START_TIME]}"


def _mapped_inodes(pid: int) -> Iterator[int]:
    """Inodes of the shared memory that a process has mapped.

    By path a semaphore is not found: its creator maps it under a name that is gone.
    """
    try:
        maps = Path(f"/proc/{pid}/maps").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return
    for line in maps.splitlines():
        # address, rights, offset, device, inode, path
        columns = line.split(maxsplit=5)
        if len(columns) == 6 and columns[5].startswith(f"{SHARED_MEMORY}/"):
            yield int(columns[4])


def _inode(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return None
