"""A server of vLLM's, on loopback, for as long as it is needed."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from care_verl.common.children import child, tail
from care_verl.common.errors import CareVerlError
from care_verl.tools.evaluation import backends
from care_verl.tools.evaluation.choices import Backend

SERVE = [sys.executable, "-m", "care_verl.tools.evaluation.serve", "serve"]
SERVED_NAME = "care-verl-evaluated"
_POLL_SECONDS = 0.5
_LONGEST_START = 1800.0
_UNANSWERED = 3
_KEY = "OPENAI_API_KEY"


class ServerError(CareVerlError):
    """A server that did not start, stopped in mid-run, or cannot serve what is asked for."""


@dataclass
class Server:
    """A server to send requests to; `key` is what it asks for."""

    base_url: str
    model: str
    key: str
    process: subprocess.Popen[bytes] | None = None
    log: Path | None = None
    _silent: int = 0

    def check(self) -> None:
        """Raises ServerError when the server is gone: it ended, or did not answer three times."""
        if self.process is not None and self.log is not None:
            if self.process.poll() is not None:
                raise ServerError(_ended(self.process.returncode, self.log))
            return
        try:
            self.models()
            self._silent = 0
        except httpx.HTTPError as error:
            self._silent += 1
            if self._silent >= _UNANSWERED:
                raise ServerError(f"{self.base_url} stopped answering: {error!r}") from error

    def models(self) -> dict[str, int | None]:
        """What it serves, and how many tokens each takes in all; None where it does not say.

        Raises httpx.HTTPError when it does not answer.
        """
        asked = httpx.get(
            f"{self.base_url}/models", headers={"Authorization": f"Bearer {self.key}"}, timeout=30
        )
        entries = asked.raise_for_status().json()["data"]
        return {entry["id"]: entry.get("max_model_len") for entry in entries}

    def require_room(self, max_new_tokens: int) -> None:
        """Raises ServerError when the longest response leaves no room for a question.

        vLLM in process ends such a response at the limit; its server refuses the request.
        """
        limit = self.models()[self.model]
        if limit is not None and limit <= max_new_tokens:
            raise ServerError(
                f"{self.base_url} takes {limit} tokens, question and response together, and would "
                f"refuse responses of {max_new_tokens}: give --max-new-tokens a smaller number"
            )


def running_server(base_url: str, model: str) -> Server:
    """A server that somebody else runs; its key is OPENAI_API_KEY.

    Raises ServerError when it does not answer, or does not serve `model`.
    """
    server = Server(base_url.rstrip("/"), model, os.environ.get(_KEY, "EMPTY"))
    try:
        served = server.models()
    except httpx.HTTPError as error:
        raise ServerError(f"{base_url} does not answer: {error!r}") from error
    if model not in served:
        raise ServerError(f"{base_url} serves {', '.join(served)}; expected {model}")
    return server


@contextmanager
def started_server(
    path: str, options: Sequence[str], log: Path, waiting: Callable[[], None] = lambda: None
) -> Iterator[Server]:
    """`vllm serve PATH` on a free port of loopback, ended with the block.

    Its defaults are vLLM's own, not the model's `generation_config.json`, so that it decodes as
    vLLM in process does. `waiting` is called while it starts.

    Raises ServerError when it ends before it answers.
    """
    port, key = _free_port(), secrets.token_hex(16)
    command = [*SERVE, path, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--served-model-name", SERVED_NAME, "--generation-config", "vllm", *options]
    with child(command, log, _environment(key)) as process:
        server = Server(f"http://127.0.0.1:{port}/v1", SERVED_NAME, key, process, log)
        _wait(server, process, log, waiting)
        yield server


def _environment(key: str) -> dict[str, str]:
    variables = backends.environment(Backend.VLLM)
    # The server's own processes are the reason to have one.
    variables.pop("VLLM_ENABLE_V1_MULTIPROCESSING", None)
    return {**variables, "VLLM_API_KEY": key}


def _wait(
    server: Server, process: subprocess.Popen[bytes], log: Path, waiting: Callable[[], None]
) -> None:
    deadline = time.monotonic() + _LONGEST_START
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServerError(_ended(process.returncode, log))
        try:
            server.models()
            return
        except httpx.HTTPError:
            waiting()
            time.sleep(_POLL_SECONDS)
    raise ServerError(f"vllm serve did not answer in {_LONGEST_START:.0f} s; see {log}")


def _ended(status: int, log: Path) -> str:
    return f"vllm serve ended with status {status}. The end of {log}:\n{tail(log)}"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
