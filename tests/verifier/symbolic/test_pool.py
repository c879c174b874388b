"""Worker processes: killed, stopped, out of time, shared by threads, left behind by their caller.

Real processes and real signals. Ray is not started here; the end-to-end runs score under it.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from care_verl.verifier import verify
from care_verl.verifier.symbolic import Form, Pool, one_verdict
from care_verl.verifier.symbolic import pool as pool_module

ROOT = Form(r"\sqrt{8}", "math")
SAME = Form(r"2\sqrt{2}", "math")
# Passes the guard and keeps sympy busy for minutes.
ENDLESS = Form(r"\sum_{k=1}^{900} k^{k}", "math")


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool(workers=1, cpu_seconds=0.5, wall_seconds=20)
    yield pool
    pool.close()


def children(pool: Pool) -> list[psutil.Process]:
    """The processes that compare, one for each worker that runs."""
    pids = [worker.pid for worker in pool.workers if worker.pid is not None]
    return [child for pid in pids for child in psutil.Process(pid).children()]


def wait_for(condition: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_a_comparison(pool: Pool) -> None:
    comparison = pool.compare(ROOT, SAME)
    assert (comparison.same, comparison.decided, comparison.gold_readable) == (True, True, True)
    assert (comparison.answer_read, comparison.gold_read) == ("sqrt(8)", "2*sqrt(2)")


def test_no_process_before_it_is_needed(pool: Pool) -> None:
    assert pool.workers[0].pid is None
    assert not pool.compare(Form("9^{9^{9}}", "math"), SAME).decided
    assert pool.workers[0].pid is None


def test_time_spent_is_undecided_and_the_next_is_served(pool: Pool) -> None:
    pool.compare(ROOT, SAME)
    comparison = pool.compare(ENDLESS, SAME)
    assert (comparison.same, comparison.decided, comparison.seconds) == (False, False, 0.5)
    assert pool.compare(ROOT, SAME).same


def test_a_killed_child_is_replaced_and_the_comparison_made(pool: Pool) -> None:
    pool.compare(ROOT, SAME)
    (child,) = children(pool)
    child.kill()
    psutil.wait_procs([child], timeout=10)
    # Its end is not mistaken for the answer to the next request, nor that for the one after.
    assert pool.compare(ROOT, SAME).same
    assert pool.compare(ROOT, Form("3", "math")).same is False


def test_a_killed_worker_is_replaced_and_the_comparison_made(pool: Pool) -> None:
    pool.compare(ROOT, SAME)
    pid = pool.workers[0].pid
    assert pid is not None
    for process in [psutil.Process(pid), *children(pool)]:
        process.kill()
    assert pool.compare(ROOT, SAME).same
    assert pool.workers[0].pid != pid


def test_killed_in_the_middle_of_a_comparison() -> None:
    """The verdict comes: the request is made again to the worker that takes its place."""
    pool = Pool(workers=1, cpu_seconds=3, wall_seconds=20)
    pool.compare(ROOT, SAME)
    worker = psutil.Process(pool.workers[0].pid)
    results = []
    thread = threading.Thread(target=lambda: results.append(pool.compare(ENDLESS, SAME)))
    thread.start()
    busy = worker.children()[0]
    used = busy.cpu_times().user
    wait_for(lambda: busy.cpu_times().user > used + 0.2)
    busy.kill()
    thread.join(30)
    assert [result.decided for result in results] == [False]
    assert pool.compare(ROOT, SAME).same
    pool.close()


def test_a_stopped_worker_does_not_hang_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_GRACE_SECONDS", 0.5)
    pool = Pool(workers=1, cpu_seconds=0.5, wall_seconds=0.5)
    pool.compare(ROOT, SAME)
    stopped = [psutil.Process(pool.workers[0].pid), *children(pool)]
    for process in stopped:
        process.suspend()
    assert pool.compare(ROOT, SAME).same
    pool.close()
    _, left = psutil.wait_procs(stopped, timeout=10)
    assert not left


def test_a_worker_that_cannot_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(pool_module.WorkerFailedError, match="has ended before it was ready"):
        Pool(workers=1).compare(ROOT, SAME)


def test_threads_share_the_workers() -> None:
    pool = Pool(workers=2)
    pairs = [(Form(rf"\sqrt{{{4 * n}}}", "math"), Form(rf"2\sqrt{{{n}}}", "math")) for n in (2, 3)]
    with ThreadPoolExecutor(8) as threads:
        right = list(threads.map(lambda n: pool.compare(*pairs[n % 2]).same, range(60)))
        crossed = list(
            threads.map(lambda n: pool.compare(pairs[0][0], pairs[1][1]).same, range(20))
        )
    assert all(right)
    assert not any(crossed)
    assert len({worker.pid for worker in pool.workers}) == 2
    pool.close()


def test_closing_leaves_no_process(pool: Pool) -> None:
    pool.compare(ROOT, SAME)
    left = [psutil.Process(pool.workers[0].pid), *children(pool)]
    pool.close()
    psutil.wait_procs(left, timeout=10)
    assert not any(process.is_running() for process in left)


def test_one_verdict_has_one_budget() -> None:
    """Options that each cost their full time do not add up."""
    hard = [rf"\sum_{{k=1}}^{{90{n}}} k^{{k}}" for n in range(6)]
    begin = time.monotonic()
    verdict = verify("<answer>\\sqrt{8}</answer>", "A", choices=hard)
    assert verdict.acc == 0
    assert time.monotonic() - begin < 20
    with one_verdict(0):
        fresh = Form(r"\sqrt{12}", "math")
        assert not pool_module.compare(fresh, Form(r"2\sqrt{3}", "math")).decided


SCRIPT = r"""
import json, os, sys, threading
from care_verl.verifier import verify
from care_verl.verifier.symbolic import default_pool
verdicts = [verify(r"<answer>\sqrt{8}</answer>", r"2\sqrt{2}").acc]
def off_the_main_thread():
    verdicts.append(verify(r"<answer>\sqrt{18}</answer>", r"3\sqrt{2}").acc)
thread = threading.Thread(target=off_the_main_thread)
thread.start(); thread.join()
read, write = os.pipe()
if os.fork() == 0:
    acc = verify(r"<answer>\sqrt{8}</answer>", r"2\sqrt{2}").acc
    os.write(write, str(acc).encode()); os._exit(0)
os.wait()
verdicts.append(float(os.read(read, 10)))
pids = [worker.pid for worker in default_pool().workers if worker.pid]
print(json.dumps([verdicts, pids]), flush=True)
if sys.argv[1] == "wait":
    sys.stdin.read()
"""


def test_threads_forks_and_the_end_of_the_caller() -> None:
    """The same verdict on the main thread, off it and in a forked child; no worker outlives all."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "end"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    verdicts, pids = json.loads(done.stdout)
    assert verdicts == [1, 1, 1]
    assert pids
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in pids))


def test_workers_end_with_a_killed_caller() -> None:
    caller = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "wait"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert caller.stdout is not None
    _, pids = json.loads(caller.stdout.readline())
    os.kill(caller.pid, signal.SIGKILL)
    caller.wait()
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in pids))
