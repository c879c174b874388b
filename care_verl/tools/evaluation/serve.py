"""vLLM's own command for its CPU build too: `python -m care_verl.tools.evaluation.serve serve ...`.

The command asks for the version of a distribution `vllm`, which the CPU build is not.
"""

from __future__ import annotations

from care_verl.platform.vllm_version import alias_cpu_build


def main() -> None:
    alias_cpu_build()
    from vllm.entrypoints.cli.main import main as vllm

    vllm()


if __name__ == "__main__":
    main()
