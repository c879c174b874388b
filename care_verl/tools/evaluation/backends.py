"""What LMMs-Eval is told about the model, for each backend.

The three decode alike: nothing but end tokens is taken from the model's `generation_config.json`.
What a server does that somebody else has started is its own affair.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from care_verl.common.errors import CareVerlError
from care_verl.tools.evaluation import hf_launch
from care_verl.tools.evaluation.choices import Backend
from care_verl.tools.evaluation.decoding import Decoding
from care_verl.tools.evaluation.environment import lmms_eval_command, lmms_eval_python

CONCURRENT_REQUESTS = 32
_RETRIES = 3
_WAITING = {"OMP_WAIT_POLICY": "PASSIVE"}
_CPU = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
# LMMs-Eval drops temperature and length for a model whose name holds one of these.
_SPECIAL_NAMES = ("o1", "o3", "o4", "gpt-5")


class ArgumentError(CareVerlError):
    """What LMMs-Eval's own notation of arguments cannot say."""


def launcher(backend: Backend) -> list[str]:
    """The start of LMMs-Eval's command line."""
    if backend is Backend.HF:
        return [str(lmms_eval_python()), "-m", hf_launch.__name__]
    return lmms_eval_command()


def model_arguments(
    backend: Backend,
    model: str,
    decoding: Decoding,
    options: Mapping[str, str],
    base_url: str | None = None,
) -> list[str]:
    """`--model`, `--model_args` and `--batch_size` for LMMs-Eval.

    model: a folder, a hub id, or the name under which the server of `base_url` serves it. options:
    the user's own, which win.

    Raises ArgumentError.
    """
    if backend is Backend.VLLM:
        name, batch, own = "vllm", 256, _vllm(model, decoding)
    elif backend is Backend.OPENAI:
        assert base_url is not None
        name, batch, own = "openai", 1, _openai(model, base_url)
    else:
        name, batch, own = hf_launch.NAME, 1, _hf(model)
    arguments = {**own, **options}
    for key, value in arguments.items():
        if "," in value and not value.startswith(("{", "[")):
            raise ArgumentError(f"{key}={value}: LMMs-Eval takes no comma there; rename the folder")
    text = ",".join(f"{key}={value}" for key, value in arguments.items())
    return ["--model", name, "--model_args", text, "--batch_size", str(batch)]


def server_options(options: Mapping[str, str]) -> list[str]:
    """`vllm serve`'s spelling of vLLM's arguments: `--max-model-len 4096`, `--enforce-eager`."""
    found = []
    for key, value in {**_eager(), **options}.items():
        flag = key.replace("_", "-")
        if value in ("True", "False"):
            found.append(f"--{flag}" if value == "True" else f"--no-{flag}")
        else:
            found += [f"--{flag}", value]
    return found


def environment(backend: Backend, key: str | None = None) -> dict[str, str]:
    """Variables for LMMs-Eval; `key` is the server's, which a command line would show to all."""
    found = dict(_WAITING)
    if backend is Backend.VLLM and not _accelerated():
        found |= _CPU
    # What the user has set prevails.
    found = {name: os.environ.get(name, value) for name, value in found.items()}
    return found if key is None else {**found, "OPENAI_API_KEY": key}


def _vllm(model: str, decoding: Decoding) -> dict[str, str]:
    return {
        "model": model,
        # LMMs-Eval takes the larger of this one, 4096 by default, and the task's.
        "max_new_tokens": str(decoding.max_new_tokens),
        "trust_remote_code": "False",
        # Its summary of vLLM's statistics fails for some of them, behind the last response.
        "disable_log_stats": "True",
        **_eager(),
    }


def _openai(model: str, base_url: str) -> dict[str, str]:
    special = [name for name in _SPECIAL_NAMES if name in model]
    if special:
        raise ArgumentError(
            f"{special[0]!r} is in the name {model!r}: LMMs-Eval takes it for a model of OpenAI's "
            "and drops temperature and length; serve it under another name"
        )
    return {
        "model": model,
        "base_url": base_url,
        "num_concurrent": str(CONCURRENT_REQUESTS),
        "max_retries": str(_RETRIES),
    }


def _hf(model: str) -> dict[str, str]:
    return {"pretrained": model, "device_map": "cuda" if _accelerated() else "cpu"}


def _eager() -> dict[str, str]:
    """Without an accelerator vLLM would spend minutes on compiling."""
    return {} if _accelerated() else {"enforce_eager": "True"}


def _accelerated() -> bool:
    from care_verl.platform import cpu_choice

    return not cpu_choice.select()
