"""What an evaluation is asked for, and which cells follow from it."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from care_verl.tools.evaluation.benchmarks import BENCHMARKS, Benchmark, chosen
from care_verl.tools.evaluation.cells import Cell, cell_folder
from care_verl.tools.evaluation.checkpoint import Model, identity
from care_verl.tools.evaluation.choices import Backend
from care_verl.tools.evaluation.decoding import Decoding
from care_verl.tools.evaluation.local_data import fingerprint
from care_verl.tools.evaluation.settings import TaskSettings


@dataclass(frozen=True)
class Request:
    """An evaluation.

    models: folders or hub ids. labels: one for each; models of one label are its seeds. benchmarks:
    in the order of the table. base_url: of a server that runs already; None starts one. tasks: tags
    and prompt. prefilled: whether the chat template opens the rationale; None asks the template.
    limit: the first rows only, of each benchmark. options: arguments for the backend's own model
    class.

    Raises ValueError for what does not go together.
    """

    models: Sequence[str]
    labels: Sequence[str]
    benchmarks: Sequence[Benchmark]
    out: Path
    backend: Backend = Backend.VLLM
    base_url: str | None = None
    decoding: Decoding = field(default_factory=Decoding)
    tasks: TaskSettings = field(default_factory=TaskSettings)
    prefilled: bool | None = None
    limit: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.base_url is not None and self.backend is not Backend.OPENAI:
            raise ValueError("--base-url is for --backend openai")
        if self.base_url is not None and self.options:
            raise ValueError("--model-arg is for a model that is loaded here, not for --base-url")
        if len(self.models) != len(self.labels):
            raise ValueError(
                f"{len(self.labels)} names for {len(self.models)} models; expected one for each, "
                "or none"
            )
        twice = [name for name, count in Counter(self.models).items() if count > 1]
        if twice:
            raise ValueError(f"{twice[0]} is given twice; a model is no second seed of itself")

    def settings(self) -> dict[str, Any]:
        """How the answers are made, as it stands in the results."""
        return {
            "backend": self.backend.value,
            "base_url": self.base_url,
            "decoding": self.decoding.to_mapping(),
            "limit": self.limit,
            "options": dict(self.options),
        }

    def tasks_of(self, prefilled: bool) -> TaskSettings:
        """The settings of the tasks for a model."""
        return replace(self.tasks, prefilled=prefilled)

    def cell(
        self, place: int, model: Model, benchmark: Benchmark, files: Sequence[Path], prefilled: bool
    ) -> Cell:
        """The cell of the model at `place` on a benchmark, whose data are `files`."""
        made_with = {
            **self.settings(),
            "model": identity(model) if self.base_url is None else {"served": model.source},
            "task": benchmark.task,
            "tasks": asdict(self.tasks_of(prefilled)),
            "data": fingerprint(files),
        }
        folder = cell_folder(self.out, self.labels[place], model.source, benchmark.task)
        return Cell(benchmark, folder, made_with)


# Folders that say nothing about the model in them.
_GENERIC = ("actor", "checkpoints", "huggingface", "merged")


def named(models: Sequence[str]) -> list[str]:
    """A label for each model, none twice: the two last names of its path, or the path."""
    labels = []
    for model in models:
        parts = [part for part in Path(model).parts if part not in (*_GENERIC, "/", ".", "..")]
        labels.append("/".join(parts[-2:]) or model)
    return labels if len(set(labels)) == len(labels) else list(models)


def wanted(names: str) -> list[Benchmark]:
    """The benchmarks of a list with commas. Raises ValueError for a name that is none."""
    found = [name.strip() for name in names.split(",") if name.strip()]
    for name in found:
        close = difflib.get_close_matches(name, ["paper", *BENCHMARKS], n=1)
        if name not in ("paper", *BENCHMARKS) and close:
            raise ValueError(
                f"there is no benchmark {name!r} (did you mean {close[0]!r}?); expected paper, or "
                f"some of {', '.join(BENCHMARKS)}"
            )
    return chosen(found)


def options_of(arguments: Sequence[str]) -> dict[str, str]:
    """`KEY=VALUE` as a mapping. Raises ValueError for anything else."""
    found = {}
    for argument in arguments:
        key, sign, value = argument.partition("=")
        if not (key.isidentifier() and sign and value):
            raise ValueError(f"{argument!r}; expected KEY=VALUE, such as max_model_len=4096")
        found[key] = value
    return found
