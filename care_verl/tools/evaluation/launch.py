"""Starts LMMs-Eval's own command in its environment: `python -m` this module, with its arguments.

Beside a CPU build of torch, LMMs-Eval's imports fail without the mending that vLLM's processes get
through their plugin.
"""

from __future__ import annotations

from care_verl.platform.extensions import offer_vllm_platform


def main() -> None:
    offer_vllm_platform()
    from lmms_eval.cli.dispatch import main as lmms_eval

    lmms_eval()


if __name__ == "__main__":
    main()
