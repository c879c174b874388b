"""Acting at a moment of a real run: holding a process, killing one, failing a session.

    at = Moments(tmp_path / "marks", Moment("update", do="hold", count=3))
    with Run(folder, settings, at.environment()) as run:
        pid = at.wait_for(run, "update")

verl imports this module in every process of the run (`VERL_USE_EXTERNAL_MODULES`), where it wraps
the methods of `POINTS` from outside. A moment happens once a run, in the process that reaches it
first; its mark, a file with that process's pid, stays, so that a run that is started again with the
same marks goes on undisturbed.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import math
import os
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from care_verl.platform import when_imported

VARIABLE = "CARE_TEST_MOMENTS"
RUN_MARK = "CARE_TEST_RUN"
PLANTED = "planted by a test"
IN_FLIGHT_S = 1.0
"""A process to be killed is first stopped for so long: requests reach it and stay unanswered."""

POINTS = {
    "rollout": ("verl.experimental.agent_loop.agent_loop", "AgentLoopWorker._run_agent_loop"),
    "reflection": ("verl.workers.rollout.llm_server", "LLMServerClient.generate"),
    "served reflection": ("vllm.v1.engine.async_llm", "AsyncLLM.generate"),
    "reward": ("verl.experimental.reward_loop.reward_loop", "RewardLoopWorker.compute_score"),
    "log_prob": ("verl.workers.engine_workers", "TrainingWorker.infer_batch"),
    "update": ("verl.workers.engine_workers", "TrainingWorker.train_batch"),
    "saving": (
        "verl.utils.checkpoint.fsdp_checkpoint_manager",
        "FSDPCheckpointManager.save_checkpoint",
    ),
}
"""Which method each moment is the call of. At `saving` half of the optimizer's file is written; at
`served reflection` the engine has returned its first token.
"""


@dataclass(frozen=True)
class Moment:
    """When `at` is reached, `do` it.

    do: "mark" nothing; "hold" wait until `Moments.release` or a kill; "delay" wait `seconds`;
    "raise" an error; "nan" the reward; "kill" the process of the run with `whom` in its command
    line, or the one that reached the moment where `whom` is empty.
    step: the training step, where the call tells (`rollout`, `reward`, `saving`); None is any.
    count: the how-manieth such call in its process. `update` is called once a mini-batch.
    prompt: what the name of the call's prompt must end in, at `rollout`.
    """

    at: str
    do: str = "mark"
    step: int | None = None
    count: int = 1
    whom: str = ""
    seconds: float = 0.0
    prompt: str = ""


class Moments:
    """The moments of one run, seen from the test; at most one of each point."""

    def __init__(self, marks: Path, *moments: Moment) -> None:
        marks.mkdir(parents=True, exist_ok=True)
        self.marks, self.moments = marks, moments

    def environment(self) -> dict[str, str]:
        """What the run needs in its environment."""
        plan = {"marks": str(self.marks), "moments": [asdict(moment) for moment in self.moments]}
        paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        return {
            VARIABLE: json.dumps(plan),
            "VERL_USE_EXTERNAL_MODULES": "moments",
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }

    def reached(self, at: str) -> int | None:
        """The pid of the process that reached the moment, if one has."""
        path = self.marks / at
        text = path.read_text() if path.exists() else ""
        return int(text) if text.endswith("\n") else None

    def wait_for(self, run: Any, at: str, timeout: float = 420) -> int:
        """Return that pid as soon as the moment is reached. Fails when the run ends before."""
        end = time.monotonic() + timeout
        while (pid := self.reached(at)) is None:
            assert run.process.poll() is None, f"the run ended before {at}:\n{run.tail()}"
            assert time.monotonic() < end, f"{at} was not reached:\n{run.tail()}"
            time.sleep(0.05)
        return pid

    def release(self, at: str) -> None:
        """Let a held process go on."""
        (self.marks / f"{at}.released").touch()


class _Plan:
    """The same moments inside a process of the run."""

    def __init__(self, marks: Path, moments: list[Moment]) -> None:
        self._marks = marks
        self._moments = {moment.at: moment for moment in moments}
        self._calls: Counter[str] = Counter()

    def due(self, at: str, step: int | None, prompt: str) -> Moment | None:
        """The moment, if it is now: then it is marked."""
        moment = self._moments.get(at)
        if moment is None or moment.step not in (None, step) or not prompt.endswith(moment.prompt):
            return None
        self._calls[at] += 1
        if self._calls[at] != moment.count:
            return None
        try:
            with (self._marks / at).open("x") as mark:
                mark.write(f"{os.getpid()}\n")
        except FileExistsError:
            return None
        return moment

    def pauses(self, moment: Moment) -> Iterator[float]:
        """Do what the moment asks for; yields seconds to wait meanwhile."""
        if moment.do == "raise":
            raise RuntimeError(f"{PLANTED}: {moment.at}")
        if moment.do == "delay":
            yield moment.seconds
        if moment.do == "hold":
            while not (self._marks / f"{moment.at}.released").exists():
                yield 0.05
        if moment.do == "kill":
            _kill(moment.whom)


def _kill(whom: str) -> None:
    if not whom:
        psutil.Process().kill()
    victims = [process for process in _processes_of_this_run() if whom in _command(process)]
    assert victims, f"no process of this run has {whom!r} in its command line"
    for victim in victims:
        victim.suspend()
        threading.Timer(IN_FLIGHT_S, victim.kill).start()


def _processes_of_this_run() -> Iterator[psutil.Process]:
    mark = os.environ[RUN_MARK]
    for process in psutil.process_iter():
        try:
            if process.environ().get(RUN_MARK) == mark:
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def _step(at: str, arguments: dict[str, Any]) -> int | None:
    """The training step of a call. Raises LookupError for calls that are not meant."""
    if at == "rollout":
        if arguments["trajectory"]["validate"]:
            raise LookupError
        return int(arguments["trajectory"]["step"])
    if at == "saving":
        return int(arguments["global_step"])
    if at == "reward":
        return int(arguments["data"].non_tensor_batch["global_steps"][0])
    if at == "served reflection" and arguments["priority"] == 0:
        raise LookupError
    # Of all requests only reflections bring a budget of their own.
    if at == "reflection" and "max_tokens" not in arguments["sampling_params"]:
        raise LookupError
    return None


def _wrap(plan: _Plan, at: str, original: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(original)

    def due(args: Any, kwargs: Any) -> Moment | None:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        try:
            prompt = str(bound.arguments["kwargs"]["uid"]) if at == "rollout" else ""
            return plan.due(at, _step(at, bound.arguments), prompt)
        except LookupError:
            return None

    @functools.wraps(original)
    async def asynchronous(*args: Any, **kwargs: Any) -> Any:
        moment = due(args, kwargs)
        for seconds in plan.pauses(moment) if moment else ():
            await asyncio.sleep(seconds)
        result = await original(*args, **kwargs)
        if moment and moment.do == "nan":
            return {**result, "reward_score": math.nan}
        return result

    @functools.wraps(original)
    def synchronous(*args: Any, **kwargs: Any) -> Any:
        moment = due(args, kwargs)
        if moment and at == "saving":
            with _second_file_half_written(lambda: _wait(plan, moment)):
                return original(*args, **kwargs)
        if moment:
            _wait(plan, moment)
        return original(*args, **kwargs)

    @functools.wraps(original)
    async def streaming(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        moment = due(args, kwargs)
        async for output in original(*args, **kwargs):
            yield output
            for seconds in plan.pauses(moment) if moment else ():
                await asyncio.sleep(seconds)
            moment = None

    if inspect.isasyncgenfunction(original):
        return streaming
    return asynchronous if inspect.iscoroutinefunction(original) else synchronous


def _wait(plan: _Plan, moment: Moment) -> None:
    for seconds in plan.pauses(moment):
        time.sleep(seconds)


@contextmanager
def _second_file_half_written(act: Callable[[], None]) -> Iterator[None]:
    """Within it, the second `torch.save` writes half a file, calls `act`, then the whole file."""
    import torch

    save, files = torch.save, []

    def interrupted(value: Any, path: str, *args: Any, **kwargs: Any) -> None:
        save(value, path, *args, **kwargs)
        files.append(path)
        if len(files) == 2:
            os.truncate(path, os.path.getsize(path) // 2)
            act()
            save(value, path, *args, **kwargs)

    torch.save = interrupted
    try:
        yield
    finally:
        torch.save = save


def _install(plan: _Plan, at: str) -> None:
    module_name, path = POINTS[at]
    class_name, method = path.split(".")

    def patch(module: Any) -> None:
        owner = getattr(module, class_name)
        setattr(owner, method, _wrap(plan, at, getattr(owner, method)))

    when_imported(module_name, patch)


def _install_all(text: str) -> None:
    stored = json.loads(text)
    moments = [Moment(**moment) for moment in stored["moments"]]
    plan = _Plan(Path(stored["marks"]), moments)
    for moment in moments:
        _install(plan, moment.at)


if VARIABLE in os.environ:
    _install_all(os.environ[VARIABLE])
