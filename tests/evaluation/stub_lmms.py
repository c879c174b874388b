"""Stands for LMMs-Eval's command: reads the rows, answers them at once, writes its two files.

    python stub_lmms.py BEHAVIOUR --model ... (as LMMs-Eval)

BEHAVIOUR: `right` and `wrong` answer every question so; `missing` leaves the last row out and
`fail` writes nothing, both with status 0, as LMMs-Eval does; `refused` reports a request that was
given up and goes on; `hang` answers half and stays.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq

from care_verl.tools.evaluation.answers import ENTRY, entries
from care_verl.tools.evaluation.benchmarks import benchmark_of
from care_verl.tools.evaluation.data import located
from care_verl.tools.evaluation.scoring import answers_of
from care_verl.tools.evaluation.settings import task_settings


def main(behaviour: str, options: dict[str, str]) -> None:
    benchmark = benchmark_of(options["--tasks"])
    rows = [row for file in located(benchmark) for row in pq.read_table(file).to_pylist()]
    asked = rows[: int(options.get("--limit", len(rows)))]
    done = len(asked) // 2 if behaviour == "hang" else len(asked)
    print(f"\rModel Responding:  50%|██   | {done}/{len(asked)} [00:01<00:01]", flush=True)
    if behaviour == "refused":
        reason = "Error code: 400 - This model's maximum context length is 16"
        print(f"ERROR | All 3 attempts failed. Last error: {reason}", flush=True)
    if behaviour in ("hang", "refused"):
        time.sleep(1000)
    if behaviour == "fail":
        print("Traceback (most recent call last):\nValueError: out of luck")
        return
    out = Path(options["--output_path"]) / "model"
    out.mkdir(parents=True)
    (out / "x_results.json").write_text(
        json.dumps({"n-samples": {benchmark.task: {"original": len(rows)}}})
    )
    settings = task_settings()
    with (out / f"x_samples_{benchmark.task}.jsonl").open("w") as file:
        for place, row in enumerate(asked[: -1 if behaviour == "missing" else None]):
            gold = row["reward_model"]["ground_truth"] if behaviour != "wrong" else "none"
            text = f"<{settings.think_tag}>…</{settings.think_tag}><answer>{gold}</answer>"
            found = answers_of(benchmark, place, benchmark.read(row), [text], settings)
            file.write(json.dumps({"doc_id": place, ENTRY: entries(found)}) + "\n")


if __name__ == "__main__":
    flags = [index for index, word in enumerate(sys.argv) if word.startswith("--")]
    main(sys.argv[1], {sys.argv[i]: sys.argv[i + 1] for i in flags if i + 1 < len(sys.argv)})
