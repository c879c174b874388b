"""verl, vLLM and Ray on a machine without an accelerator.

`install()` is called while verl imports itself. It does nothing unless the platform is the CPU: see
`cpu_choice`. Each module of this package answers one obstacle and names it in its first lines.
"""

from __future__ import annotations

import functools

from care_verl.platform.post_import import when_imported

__all__ = ["install", "when_imported"]


def install() -> None:
    """Make verl, in this process, run on the CPU where that is the platform; else do nothing.

    A second call does nothing: two entry points ask for it.
    """
    from care_verl.platform import cpu_choice

    if not cpu_choice.select():
        return

    # Registers the platform. It imports verl, which calls this function again if it is loaded here
    # for the first time; the hooks are then in place when the outer call comes to them.
    from care_verl.platform import cpu  # noqa: F401

    _install_hooks()


@functools.cache
def _install_hooks() -> None:
    from care_verl.platform import (
        distributed,
        engine,
        extensions,
        loopback,
        offload,
        threads,
        vllm_buffers,
        vllm_seeds,
        vllm_store,
        vllm_version,
        vllm_weights,
    )

    threads.let_waiting_threads_sleep()
    vllm_version.alias_cpu_build()
    extensions.tolerate_misfits()
    when_imported(loopback.RAY_CONSTANTS, loopback.keep_ray_on_loopback)
    when_imported(distributed.MODULE, distributed.use_gloo_once)
    when_imported(engine.MODULE, engine.register_engines)
    when_imported(offload.MODULE, offload.offload_without_pinning)
    when_imported(vllm_weights.LAYERS, vllm_weights.keep_plain_weights)
    vllm_buffers.install()
    when_imported(vllm_seeds.RUNNER, vllm_seeds.spare_generators)
    when_imported(vllm_store.WORKER, vllm_store.meet_on_loopback)
