"""Logs to diagnoses: every entry with a message of the library's own, and whole logs."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from care_verl.tools.doctor import diagnosis
from care_verl.tools.doctor.diagnosis import (
    KnownError,
    findings_of,
    known_errors,
    read_log,
    report_on,
)
from care_verl.tools.doctor.log_lines import Line, split

from . import log_examples as examples
from .told import all_well, the_error

KNOWN = {error.name: error for error in known_errors()}


def diagnosed(message: str, frames: str = "") -> str:
    """The entry that a message is counted for, below a traceback with these frames."""
    text = ["Traceback (most recent call last):", *frames.splitlines(), message]
    lines = [split(number, each) for number, each in enumerate(text, start=1)]
    (sighting,) = report_on(lines, known_errors()).sightings
    return sighting.error.name


@pytest.mark.parametrize(("name", "message", "frames"), examples.WRITTEN)
def test_a_quoted_message_is_known(name: str, message: str, frames: str) -> None:
    assert diagnosed(message, frames) == name


# (name of the entry, what raises its message here)
RAISED: list[tuple[str, Callable[[Path, Path], str]]] = [
    ("vLLM has no room for a cache", lambda *_: examples.cache(0)),
    ("vLLM's cache does not hold one row", lambda *_: examples.cache(2**20)),
    ("the GPU is not empty when vLLM starts", lambda *_: examples.startup()),
    ("image tokens differ from image features (actor)", lambda *_: examples.image_features()),
    ("image tokens differ from image features (vLLM)", lambda *_: examples.placeholders()),
    ("a row has fewer images than placeholders", lambda *_: examples.dataset(["a.png"], 1)),
    ("no processor for images", lambda *_: examples.dataset(["a.png"], None)),
    ("a row is longer than a micro-batch", lambda *_: examples.micro_batch()),
    ("vLLM's scheduler budget is too small", lambda *_: examples.scheduler()),
    ("the tokenizer is missing", lambda empty, _: examples.tokenizer(empty)),
    ("the processor is missing", lambda empty, _: examples.processor(empty)),
    ("transformers does not know the model", lambda empty, _: examples.architecture(empty)),
    ("the model is not there", lambda *_: examples.no_model()),
    ("flash-attn is missing", lambda _, model: examples.flash_attention(model)),
    ("port in use", lambda *_: examples.port()),
    ("the plugin is not active where the trainer runs", lambda *_: examples.trainer()),
    ("the plugin is not active", lambda *_: examples.inactive()),
    ("a library is not the one that was tried", lambda *_: examples.contract()),
    ("an override has no key", lambda *_: examples.struct()),
    ("a setting is refused", lambda *_: examples.unknown_setting()),
    ("an unknown field of verl's configuration", lambda *_: examples.unknown_field()),
    ("an image cannot be decoded", lambda *_: examples.broken_image()),
    ("the reward has no accuracy", lambda *_: examples.no_accuracy()),
    ("the data or the reward do not fit", lambda *_: examples.tools_in_a_row()),
    ("the rollout engine died", lambda *_: examples.dead_engine()),
    ("a process of the run died", lambda *_: examples.dead_actor()),
]


@pytest.mark.parametrize(("name", "raising"), RAISED, ids=[name for name, _ in RAISED])
def test_a_raised_message_is_known(
    name: str, raising: Callable[[Path, Path], str], tmp_path: Path, model_folder: Path
) -> None:
    assert diagnosed(raising(tmp_path, model_folder)) == name


def test_every_entry_has_an_example() -> None:
    shown = {name for name, *_ in examples.WRITTEN} | {name for name, _ in RAISED}
    assert shown == set(KNOWN)


SOURCES = [
    (error.name, source["file"], source["text"])
    for error in known_errors()
    for source in error.sources
    if "file" in source
]


@pytest.mark.parametrize(("name", "file", "text"), SOURCES)
def test_the_message_still_stands_in_the_installed_source(name: str, file: str, text: str) -> None:
    """Contract with the libraries: a message that was reworded is no longer found in logs."""
    spec = find_spec(file.partition("/")[0])
    assert spec is not None
    assert spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0]).parent / file
    assert text.encode() in path.read_bytes(), (
        f"known error {name!r}: {file} no longer has {text!r}; adapt known_errors.yaml"
    )


@pytest.mark.parametrize("error", known_errors(), ids=lambda error: error.name)
def test_an_entry_says_what_it_is_and_where_from(error: KnownError) -> None:
    assert error.diagnosis
    assert error.remedy
    assert error.sources
    assert all(set(each) in ({"file", "text"}, {"see"}) for each in error.sources)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.log"
    path.write_text(text)
    return path


def test_interleaved_tracebacks_are_told_apart(tmp_path: Path) -> None:
    """Two workers at once: only the second one is in an update."""
    first, second = "\x1b[36m(WorkerDict pid=1, ip=10.0.0.1)\x1b[0m ", "(WorkerDict pid=2) "
    text = [
        first + "Traceback (most recent call last):",
        second + "Traceback (most recent call last):",
        second + examples.frame("update_actor"),
        first + examples.frame("compute_log_prob"),
        second + examples.OUT_OF_MEMORY,
        first + examples.OUT_OF_MEMORY,
    ]
    report = read_log(written(tmp_path, "\n".join(text)))
    names = [sighting.error.name for sighting in report.sightings]
    assert names == ["out of memory in the update", "out of memory in log-probabilities"]
    assert [sighting.line.number for sighting in report.sightings] == [5, 6]


def test_a_cause_comes_before_what_follows_from_it(tmp_path: Path) -> None:
    text = (
        "care_verl.rollout.watchdog.RolloutDiedError: the vLLM engine of rollout replica 0 died\n"
        "ray.exceptions.OutOfMemoryError: 1 worker(s) were killed due to the node running low on "
        "memory.\n"
        "1 worker(s) were killed due to the node running low on memory.\n"
    )
    findings = findings_of(read_log(written(tmp_path, text)))
    assert [each.found.partition(" (")[0] for each in findings] == [
        "Ray killed a worker for memory",
        "the rollout engine died",
    ]
    assert "(line 2, 2 times)" in findings[0].found


def test_an_unknown_trace_shows_its_last_exception(tmp_path: Path) -> None:
    """Ray's wrapping is not the exception: what was raised remotely stands at its end."""
    text = (
        "Traceback (most recent call last):\n"
        '  File "/x/main_ppo.py", line 98, in run_ppo\n'
        "    ray.get(runner.run.remote(config))\n"
        "ray.exceptions.RayTaskError(KeyError): ray::TaskRunner.run() (pid=7)\n"
        '  File "/x/mine.py", line 12, in step\n'
        "    return table[name]\n"
        "KeyError: 'gold'\n"
        "goodbye\n"
    )
    finding = the_error(findings_of(read_log(written(tmp_path, text))), "no known error")
    assert "(line 7): KeyError: 'gold'" in finding.found
    assert 'File "/x/mine.py", line 12, in step' in finding.found


def test_a_log_without_errors(tmp_path: Path) -> None:
    assert all_well(findings_of(read_log(written(tmp_path, "step:1 - loss:0.5\n"))))


@pytest.mark.parametrize(
    ("raw", "speaker", "text"),
    [
        ("(TaskRunner pid=12) hello\n", "(TaskRunner pid=12) ", "hello"),
        ("\x1b[36m(A pid=1, ip=10.0.0.2)\x1b[0m   File", "(A pid=1, ip=10.0.0.2) ", "  File"),
        (
            "(A pid=1) (EngineCore pid=84) ERROR 06-07 18:13:55 [core.py:100] Traceback",
            "(A pid=1) (EngineCore pid=84) ",
            "Traceback",
        ),
        (
            "[rank37]:[E1025 23:57:36.314335807 ProcessGroupNCCL.cpp:632] [Rank 37] Watchdog",
            "[rank37]:[E1025 23:57:36.314335807 ProcessGroupNCCL.cpp:632] ",
            "[Rank 37] Watchdog",
        ),
        ("(a remark) and more", "", "(a remark) and more"),
    ],
)
def test_prefixes_are_told_from_the_line(raw: str, speaker: str, text: str) -> None:
    assert split(1, raw) == Line(1, speaker, text)


def test_a_large_log_is_read_in_little_memory(tmp_path: Path) -> None:
    """30 MB, most of it in one traceback that never ends and in one very long line."""
    import tracemalloc

    path = tmp_path / "large.log"
    with path.open("w") as file:
        file.write("Traceback (most recent call last):\n")
        for number in range(200_000):
            file.write(f'  File "/x/{number}.py", line 1, in f\n')
        file.write("x" * 20_000_000 + "\n")
        for number in range(1000):
            file.write(f"(W pid={number}) Traceback (most recent call last):\n")
        file.write("ValueError: No available memory for the cache blocks.\n")
    diagnosis.known_errors()
    tracemalloc.start()
    report = read_log(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [each.error.name for each in report.sightings] == ["vLLM has no room for a cache"]
    # The one long line is held whole while it is read; twice, for it is decoded.
    assert peak < 60e6
