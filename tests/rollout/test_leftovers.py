"""What a killed process leaves is removed. vLLM's own files are looked at end to end."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

HOLDER = """
import multiprocessing, os, sys, tempfile, time
from multiprocessing.shared_memory import SharedMemory
from care_verl.rollout.leftovers import EngineLeftovers

def share(pipe):
    memory = SharedMemory(create=True, size=64)
    pipe.send(memory.name)
    time.sleep(600)

if __name__ == "__main__":
    leftovers = EngineLeftovers()
    leftovers.redirect_temporary_files()
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(target=share, args=(there,), daemon=True)
    child.start()
    name = here.recv()
    lock = multiprocessing.get_context("spawn").Lock()
    semaphore = lock._semlock.name
    leftovers.claim_shared_memory()
    made = tempfile.mkdtemp(suffix=" with a space")
    print(made, f"/dev/shm/{name}", f"/dev/shm/sem.{semaphore[1:]}", sep="\\n", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[str]:
    script = tmp_path / "holder.py"
    script.write_text(HOLDER)
    return subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)


def test_files_and_shared_memory_of_a_killed_process_are_removed(
    holder: subprocess.Popen[str],
) -> None:
    """The child is killed as well, and so is Python's own tracker of shared memory."""
    assert holder.stdout is not None
    folder, *shared = (Path(holder.stdout.readline().rstrip("\n")) for _ in range(3))
    private = folder.parent
    assert private.name.startswith("care-vllm-")
    assert all(path.exists() for path in shared)
    holding = psutil.Process(holder.pid)
    for process in [*holding.children(recursive=True), holding]:
        process.kill()
    holder.wait()
    deadline = time.monotonic() + 20
    while any(path.exists() for path in (private, *shared)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [path for path in (private, *shared) if path.exists()] == []
    assert private.parent.exists()
