"""Runs in LMMs-Eval's environment and writes what it finds to `report.json` in the folder named.

A scripted model stands for a real one, in LMMs-Eval's own evaluator, with the command line's
defaults: four threads, rationales stripped. It ends a response where the task's settings tell it to
end, as a real one would.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# Both, in one process: verl with the verifier it runs with, then LMMs-Eval.
import verl

from care_verl.platform.extensions import offer_vllm_platform
from care_verl.verifier import verify

offer_vllm_platform()

from lmms_eval.api.instance import GenerationResult  # noqa: E402
from lmms_eval.api.model import lmms  # noqa: E402
from lmms_eval.evaluator import simple_evaluate  # noqa: E402
from lmms_eval.loggers import EvaluationTracker  # noqa: E402
from lmms_eval.tasks import TaskManager, get_task_dict  # noqa: E402
from lmms_eval.utils import load_yaml_config  # noqa: E402

from care_verl.tools.evaluation.benchmarks import BENCHMARKS  # noqa: E402
from care_verl.tools.evaluation.environment import tasks_folder  # noqa: E402
from tests.benchmarks.upstream_scores import OWN, own_task  # noqa: E402
from tests.evaluation.tasks.upstream_task import PREFIX, write_tasks  # noqa: E402

# LMMs-Eval's own default.
_TAGS = '[["<think>", "</think>"], ["<analysis>", "</analysis>"]]'


class Scripted(lmms):
    """Answers each row of a task with the text that a table holds for it."""

    is_simple = False

    def __init__(self, table: dict[str, list[str]]) -> None:
        super().__init__()
        self.table = table

    def generate_until(self, requests: list[Any]) -> list[GenerationResult]:
        return [GenerationResult(text=self._text(request)) for request in requests]

    def _text(self, request: Any) -> str:
        _, messages, settings, row, task, split = request.arguments
        assert messages(self.task_dict[task][split][row])
        text = self.table[task][row]
        for stop in settings["until"]:
            text = text.partition(stop)[0]
        return " ".join(text.split(" ")[: settings.get("max_new_tokens", 1024)])

    def loglikelihood(self, requests: list[Any]) -> Any:
        raise NotImplementedError

    def generate_until_multi_round(self, requests: list[Any]) -> Any:
        raise NotImplementedError


def evaluated(table: dict[str, list[str]], manager: TaskManager, folder: Path) -> dict[str, Any]:
    tracker = EvaluationTracker(output_path=str(folder))
    arguments = Namespace(reasoning_tags=_TAGS, process_with_media=False)
    results = simple_evaluate(
        Scripted(table),
        tasks=list(table),
        task_manager=manager,
        batch_size=1,
        log_samples=True,
        evaluation_tracker=tracker,
        cli_args=arguments,
        process_docs_parallel=4,
        bootstrap_iters=0,
    )
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples, datetime_str="run")
    for task in table:
        tracker.save_results_samples(task_name=task, samples=samples[task])
    return dict(results["results"])


def shown(messages: list[dict[str, Any]]) -> list[Any]:
    """The roles, texts and images of a conversation, an image by the colour of its first pixel."""
    return [
        [
            message["role"],
            *(
                part["text"] if part["type"] == "text" else list(part["url"].getpixel((0, 0)))
                for part in message["content"]
            ),
        ]
        for message in messages
    ]


def error_of(call: Any, *arguments: Any) -> str:
    try:
        call(*arguments)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "none"


def main(folder: Path) -> None:
    write_tasks(folder / "theirs")
    include = [str(tasks_folder()), str(folder / "theirs")]
    manager = TaskManager("ERROR", include_path=include)
    ours = {name: benchmark.task for name, benchmark in BENCHMARKS.items()}
    theirs = {name: f"{PREFIX}{name}" for name in OWN}
    tasks = get_task_dict([*ours.values(), *theirs.values()], manager, "chat")
    plain = [
        load_yaml_config(manager._get_yaml_path(name)) for name in ("mmmu_val", "mmmu_pro_vision")
    ]
    limits = [config["generation_kwargs"]["max_new_tokens"] for config in plain]
    report: dict[str, Any] = {"limits": limits, "verl": verl.__version__, "tasks": {}, "runs": {}}
    for name, task in tasks.items():
        docs = task.eval_docs
        report["tasks"][name] = {
            "messages": [shown(task.doc_to_messages(doc)) for doc in docs],
            "settings": task.config.generation_kwargs,
            "tags": task.config.reasoning_tags,
            "images": [len(task.doc_to_visual(doc)) for doc in docs],
        }

    long = "word " * 5000
    right = f"<think>First.\n\nThen {long}</think>\n\n<answer>%s</answer>"
    report["runs"]["ours"] = evaluated(
        {
            ours["mathvision"]: [right % text for text in ("D", "12 m", "0.5", "A")],
            ours["mmmu"]: [right % text for text in ("A", "A", "50%", "Donkey")],
            theirs["mathvision"]: [right % text for text in ("D", "12 m", "0.5", "A")],
            theirs["mmmu"]: [right % text for text in ("A", "A", "50%", "Donkey")],
        },
        manager,
        folder / "ours",
    )
    failed = "[LMMS_EVAL_REQUEST_FAILED after 3 retries] Connection error."
    table = {ours["embedded"]: [failed, "<answer>1</answer>"]}
    report["failed request"] = error_of(evaluated, table, manager, folder / "failed")

    half = "<think>Half.</think><answer>0.5</answer>"
    score = own_task("mathvision")["process_results"]
    doc = tasks[ours["mathvision"]].eval_docs_no_media[2]
    report["upstream in the main thread"] = score(doc, [half])["acc_score"]
    with ThreadPoolExecutor(1) as pool:
        report["upstream in a thread"] = pool.submit(score, doc, [half]).result()["acc_score"]
        ask = (half, doc["answer"])
        report["verifier in a thread"] = pool.submit(verify, *ask).result().acc
    (folder / "report.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
