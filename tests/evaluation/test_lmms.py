"""LMMs-Eval's command line, its log, and the traps that end in numbers which look whole.

LMMs-Eval itself is not started.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from care_verl.tools.evaluation import lmms
from care_verl.tools.evaluation.answers import Answer, entries
from care_verl.tools.evaluation.backends import ArgumentError, model_arguments, server_options
from care_verl.tools.evaluation.choices import Backend
from care_verl.tools.evaluation.decoding import Decoding
from care_verl.tools.evaluation.lmms import Progress, RunFailedError, failure, whole_answers

from .samples import answers

TASK = "care_embedded_test"
BAR = "\rModel Responding:  {}%|█▏        | {}/512 [00:01<00:30, 15.7it/s, tokens=3]"


def written(out: Path, rows: Sequence[Answer], of: int) -> Path:
    """What LMMs-Eval leaves behind for `rows` of a data set with `of` rows."""
    folder = out / "model"
    folder.mkdir(parents=True)
    lines = (json.dumps({"doc_id": row.row, "care": entries([row])}) for row in rows)
    (folder / f"2026_samples_{TASK}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    (folder / "2026_results.json").write_text(
        json.dumps({"n-samples": {TASK: {"original": of, "effective": len(rows)}}})
    )
    return out


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_text("")
    return path


def test_the_traps_are_avoided_on_the_command_line(tmp_path: Path) -> None:
    decoding = Decoding(max_new_tokens=64)
    found = lmms.command(["lmms"], TASK, ["--model", "vllm"], decoding, tmp_path, 10)
    pairs = dict(pairwise(found))
    assert pairs["--process_docs_parallel"] == "1"
    assert pairs["--reasoning_tags"] == "none"
    assert pairs["--gen_kwargs"] == "temperature=0.0,top_p=1.0,max_new_tokens=64"
    assert pairs["--limit"] == "10"
    assert "--log_samples" in found
    assert "--limit" not in lmms.command(["lmms"], TASK, [], decoding, tmp_path, None)


def test_progress_is_the_bars_last_state(log: Path) -> None:
    assert lmms.progress(log) is None
    log.write_text("Loading\n" + BAR.format(12, 61) + BAR.format(25, 128))
    assert lmms.progress(log) == Progress(128, 512)


def test_progress_of_a_long_log(log: Path) -> None:
    log.write_text("x" * 200_000 + BAR.format(25, 128))
    assert lmms.progress(log) == Progress(128, 512)


def test_all_answers(tmp_path: Path, log: Path) -> None:
    rows = answers([1.0, 0.0, 1.0])
    assert whole_answers(written(tmp_path / "out", rows, 3), TASK, None, log) == rows


def test_a_part_on_purpose(tmp_path: Path, log: Path) -> None:
    rows = answers([1.0, 0.0])
    assert whole_answers(written(tmp_path / "out", rows, 512), TASK, 2, log) == rows
    assert whole_answers(tmp_path / "out", TASK, 2, log) == rows


def test_missing_answers_are_no_result(tmp_path: Path, log: Path) -> None:
    """LMMs-Eval's status is 0 for them."""
    out = written(tmp_path / "out", answers([1.0, 0.0]), 4)
    with pytest.raises(RunFailedError, match="2 answers to 4 questions; without one are rows 2, 3"):
        whole_answers(out, TASK, None, log)
    with pytest.raises(RunFailedError, match="2 answers to 3 questions"):
        whole_answers(out, TASK, 3, log)


def test_no_file_is_an_error_with_its_reason(tmp_path: Path, log: Path) -> None:
    log.write_text(
        "Traceback (most recent call last):\n  File ...\n"
        "care_verl.tools.evaluation.data.DataError: no files\nError during evaluation: no files.\n"
    )
    with pytest.raises(
        RunFailedError, match="failed: care_verl.tools.evaluation.data.DataError: no files"
    ):
        whole_answers(tmp_path, TASK, None, log)


@pytest.mark.parametrize(
    "reason",
    [
        "ValueError: The decoder prompt (length 5000) is longer than the maximum model length of "
        "1024. Make sure that `max_model_len` is no smaller than the number of text tokens",
        "ValueError: This model's maximum context length is 1024 tokens. However, you requested",
    ],
)
def test_an_image_beyond_the_models_limit(log: Path, reason: str) -> None:
    log.write_text(f"Traceback (most recent call last):\n{reason}\n")
    assert "raise the limit with --model-arg max_model_len=N" in str(failure(log, "x"))


def test_a_cache_too_small_is_no_image_too_large(log: Path) -> None:
    """To raise the limit would be the wrong advice."""
    log.write_text("ValueError: KV cache is needed; try decreasing `max_model_len`\n")
    assert "raise the limit" not in str(failure(log, "x"))


def test_a_refused_request_is_seen_at_once(log: Path) -> None:
    assert lmms.failed_request(log) is None
    log.write_text(
        "2026 | INFO | Attempt 3/3 failed with error: Error code: 400\n"
        "2026 | ERROR | All 3 attempts failed. Last error: Error code: 400 - maximum context "
        "length\n"
    )
    refused = lmms.failed_request(log)
    assert refused == "Error code: 400 - maximum context length"
    assert "max_model_len" in str(lmms.refused_request("x", refused, log))


def arguments(backend: Backend, model: str = "/models/a", **options: str) -> dict[str, str]:
    found = model_arguments(backend, model, Decoding(max_new_tokens=64), options, "http://h/v1")
    return dict(pair.split("=", 1) for pair in found[3].split(","))


def test_vllm_takes_the_length_asked_for() -> None:
    """LMMs-Eval would take 4,096 where the model's own argument is missing."""
    assert arguments(Backend.VLLM)["max_new_tokens"] == "64"


@pytest.mark.parametrize("backend", list(Backend))
def test_no_backend_runs_code_of_the_models(backend: Backend) -> None:
    """LMMs-Eval's vllm does by default; the other two do not."""
    expected = "False" if backend is Backend.VLLM else None
    assert arguments(backend).get("trust_remote_code") == expected


def test_own_arguments_win() -> None:
    assert arguments(Backend.VLLM, dtype="float32")["dtype"] == "float32"
    assert arguments(Backend.HF, device_map="auto")["device_map"] == "auto"


def test_a_comma_is_refused() -> None:
    with pytest.raises(ArgumentError, match="takes no comma"):
        arguments(Backend.VLLM, "/models/a,b")


def test_a_name_that_lmms_eval_takes_for_openais() -> None:
    """It would send no temperature and another limit of the length."""
    with pytest.raises(ArgumentError, match="'o3' is in the name 'solo3'"):
        arguments(Backend.OPENAI, "solo3")


def test_a_servers_spelling() -> None:
    found = server_options({"max_model_len": "128", "enforce_eager": "True"})
    assert found.count("--enforce-eager") == 1
    assert found[found.index("--max-model-len") + 1] == "128"
    assert "--no-enable-prefix-caching" in server_options({"enable_prefix_caching": "False"})


@pytest.mark.parametrize(
    ("setting", "allowed"),
    [({"temperature": -1.0}, ">= 0"), ({"top_p": 0.0}, "(0, 1]"), ({"max_new_tokens": 0}, ">= 1")],
)
def test_decoding_is_checked(setting: dict, allowed: str) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))) as caught:
        Decoding(**setting)
    assert allowed in str(caught.value)
