"""What a killed process leaves is removed. vLLM's own files are looked at end to end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

HOLDER = """
import multiprocessing, os, sys, tempfile, time
from multiprocessing.shared_memory import SharedMemory
from care_verl.rollout.engine_cleanup import EngineCleanup

def share(pipe):
    memory = SharedMemory(create=True, size=64)
    pipe.send(memory.name)
    time.sleep(600)

if __name__ == "__main__":
    cleanup = EngineCleanup()
    cleanup.redirect_temporary_files()
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(target=share, args=(there,), daemon=True)
    child.start()
    name = here.recv()
    lock = multiprocessing.get_context("spawn").Lock()
    semaphore = lock._semlock.name
    cleanup.claim_engine()
    made = tempfile.mkdtemp(suffix=" with a space")
    print(made, f"/dev/shm/{name}", f"/dev/shm/sem.{semaphore[1:]}", sep="\\n")
    print(child.pid, flush=True)
    time.sleep(600)
"""


@dataclass
class Holder:
    process: subprocess.Popen[bytes]
    folder: Path
    shared: list[Path]
    child: psutil.Process


@pytest.fixture
def holder(tmp_path: Path) -> Holder:
    script = tmp_path / "holder.py"
    script.write_text(HOLDER)
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    made, *shared, pid = (process.stdout.readline().decode().rstrip("\n") for _ in range(4))
    return Holder(process, Path(made).parent, [Path(p) for p in shared], psutil.Process(int(pid)))


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not reached() and time.monotonic() < deadline:
        time.sleep(0.05)


def test_files_and_shared_memory_of_a_killed_process_are_removed(holder: Holder) -> None:
    """The child is killed as well, and so is Python's own tracker of shared memory."""
    made = [holder.folder, *holder.shared]
    assert holder.folder.name.startswith("care-vllm-")
    assert all(path.exists() for path in made)
    holding = psutil.Process(holder.process.pid)
    for process in [*holding.children(recursive=True), holding]:
        process.kill()
    holder.process.wait()
    wait_until(lambda: not any(path.exists() for path in made))
    assert [path for path in made if path.exists()] == []
    assert holder.folder.parent.exists()


def test_the_engine_of_a_killed_server_is_ended(holder: Holder) -> None:
    """Nobody else does so here, as when Ray's own processes are killed together with the server."""
    made = [holder.folder, *holder.shared]
    assert holder.child.is_running()
    holder.process.kill()
    holder.process.wait()
    wait_until(lambda: not holder.child.is_running() and not any(p.exists() for p in made))
    assert not holder.child.is_running()
    assert [path for path in made if path.exists()] == []


def test_a_process_that_came_to_an_id_of_the_engine_lives_on(tmp_path: Path) -> None:
    """Its start time is another. Ids come back after 32,768 processes, on some machines."""
    made = tmp_path / "made"
    made.touch()
    alive, engine = (subprocess.Popen(["sleep", "600"]) for _ in range(2))
    told = (
        f"import psutil\nfrom care_verl.rollout.engine_cleanup import EngineCleanup, _with_start\n"
        f"known = _with_start(psutil.Process({engine.pid}))\n"
        f"own = _with_start(psutil.Process({alive.pid})).partition(':')[2]\n"
        f"earlier = str(int(own) - 1)\n"
        f"lines = ['{alive.pid}:' + earlier, '{alive.pid}:ended', known, {str(made)!r}]\n"
        f"EngineCleanup()._end_with_us(lines)\n"
    )
    try:
        subprocess.run([sys.executable, "-c", told], check=True)
        engine.wait(20)
        wait_until(lambda: not made.exists())
        assert not made.exists()
        assert alive.poll() is None
    finally:
        alive.kill()
        alive.wait()


def test_a_name_like_the_rest_of_a_line_hides_no_start_time(tmp_path: Path) -> None:
    """The sweeper and the server read the same field, whatever the process calls itself."""
    odd = tmp_path / ") S 1 (a b"
    odd.symlink_to("/bin/sleep")
    with subprocess.Popen([odd, "600"]) as process:
        told = (
            "import psutil\n"
            "from care_verl.rollout.engine_cleanup import EngineCleanup, _with_start\n"
            f"EngineCleanup()._end_with_us([_with_start(psutil.Process({process.pid}))])\n"
        )
        subprocess.run([sys.executable, "-c", told], check=True)
        try:
            assert process.wait(20) == -9
        finally:
            process.kill()
