"""A server that is given, and one that is started; both stand-ins that speak HTTP."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from care_verl.tools.evaluation import server
from care_verl.tools.evaluation.server import ServerError, running_server, started_server
from tests.waiting import eventually, gone, pids

SERVE = """
import http.server, json, os, sys
port = int(sys.argv[sys.argv.index("--port") + 1])
host = sys.argv[sys.argv.index("--host") + 1]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.headers["Authorization"] != "Bearer " + os.environ["VLLM_API_KEY"]:
            self.send_error(401)
            return
        self.send_response(200)
        self.end_headers()
        name = sys.argv[sys.argv.index("--served-model-name") + 1]
        self.wfile.write(json.dumps({"data": [{"id": name}]}).encode())
    def log_message(self, *args):
        pass
print(os.getpid(), flush=True)
http.server.HTTPServer((host, port), Handler).serve_forever()
"""


class Models(BaseHTTPRequestHandler):
    """Serves one model, `policy`, until `stop` is set."""

    stop = threading.Event()

    def do_GET(self) -> None:
        if self.stop.is_set():
            self.send_error(503)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"data": [{"id": "policy", "max_model_len": 100}]}).encode())

    def log_message(self, *args: object) -> None:
        """Be silent."""


@contextmanager
def listening() -> Iterator[str]:
    Models.stop.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Models) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{http.server_address[1]}/v1"
        finally:
            http.shutdown()


def test_a_server_that_serves_the_model() -> None:
    with listening() as url:
        found = running_server(f"{url}/", "policy")
        found.check()
        assert (found.model, found.base_url) == ("policy", url)


def test_one_that_serves_another() -> None:
    with listening() as url, pytest.raises(ServerError, match="serves policy; expected other"):
        running_server(url, "other")


def test_one_that_would_refuse_the_length() -> None:
    with listening() as url:
        found = running_server(url, "policy")
        found.require_room(99)
        with pytest.raises(ServerError, match="takes 100 tokens.*refuse responses of 100: give"):
            found.require_room(100)


def test_one_that_does_not_answer() -> None:
    with listening() as url:
        pass
    with pytest.raises(ServerError, match=f"{url} does not answer"):
        running_server(url, "policy")


def test_one_that_stops_is_given_up_after_three_times() -> None:
    """A busy server may miss one."""
    with listening() as url:
        found = running_server(url, "policy")
    found.check()
    found.check()
    with pytest.raises(ServerError, match="stopped answering"):
        found.check()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A stand-in for `vllm serve`; the path of its log, where it writes its process id."""
    script = tmp_path / "serve.py"
    script.write_text(SERVE)
    monkeypatch.setattr(server, "SERVE", [sys.executable, str(script)])
    return tmp_path / "log"


def test_a_started_server_ends_with_the_block(serve: Path) -> None:
    with started_server("/model", [], serve) as found:
        assert found.base_url.startswith("http://127.0.0.1:")
        assert found.models() == {server.SERVED_NAME: None}
        found.check()
        (pid,) = pids(serve)
    assert gone(pid)


def test_a_started_server_ends_with_an_error(serve: Path) -> None:
    def interrupted() -> None:
        with started_server("/model", [], serve):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert gone(*pids(serve))


def test_one_that_dies_is_named_with_its_last_words(serve: Path) -> None:
    with started_server("/model", [], serve) as found:
        (pid,) = pids(serve)
        os.kill(pid, signal.SIGKILL)
        assert found.process is not None
        process = found.process
        assert eventually(lambda: process.poll() is not None)
        with pytest.raises(ServerError, match=f"(?s)ended with status 137.*{pid}"):
            found.check()


def test_one_that_does_not_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(server, "SERVE", ["sh", "-c", "echo no such model; exit 3"])
    with (
        pytest.raises(ServerError, match="(?s)ended with status 3.*no such model"),
        started_server("/model", [], tmp_path / "log"),
    ):
        pass
