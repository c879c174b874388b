"""verl's server around vLLM, and its client."""

from __future__ import annotations

from care_verl.seams.places import SERVER
from care_verl.seams.seam import Seam

SEAMS: tuple[Seam, ...] = (
    Seam(
        "a server takes the seed that it is given",
        "training.run.seeding",
        f"{SERVER}.generate",
        fragments=(
            'sampling_params.setdefault("seed"',
            "SamplingParams(max_tokens=max_tokens, **samp",
        ),
    ),
    Seam(
        "harvesting.generate",
        "training.care.harvesting",
        "verl.workers.rollout.llm_server:LLMServerClient.generate",
        parameters=(
            "self, request_id, prompt_ids, sampling_params, image_data, video_data, audio_data, "
            "mm_processor_kwargs, kwargs"
        ),
    ),
    Seam(
        "replica.register",
        "rollout.replica",
        "verl.workers.rollout.replica:RolloutReplicaRegistry.register",
        parameters="name, loader",
    ),
    Seam(
        "a server is made ready before its engine starts",
        "rollout.server",
        f"{SERVER}.__init__",
        fragments=("self._post_init(cuda_visible_devices)",),
    ),
    Seam(
        "the engine is given a worker extension, then runs",
        "rollout.server",
        f"{SERVER}.launch_server",
        fragments=(
            "self._get_worker_extension_cls()",
            "await self.run_server(server_args)",
        ),
    ),
    Seam(
        "a replica names its server class",
        "rollout.replica",
        "verl.workers.rollout.vllm_rollout.vllm_async_server:vLLMReplica.__init__",
        fragments=("self.server_class = ",),
    ),
    Seam(
        "server._post_init",
        "rollout.server",
        f"{SERVER}._post_init",
        parameters="self, cuda_visible_devices",
    ),
    Seam(
        "server._get_worker_extension_cls",
        "rollout.server",
        f"{SERVER}._get_worker_extension_cls",
        parameters="self",
    ),
    Seam(
        "server.run_server",
        "rollout.server",
        f"{SERVER}.run_server",
        parameters="self, args",
    ),
    Seam(
        "server._preprocess_engine_kwargs",
        "rollout.server",
        f"{SERVER}._preprocess_engine_kwargs",
        parameters="self, engine_kwargs",
    ),
    Seam(
        "engine arguments are mended, then come last",
        "rollout.server",
        f"{SERVER}.launch_server",
        fragments=(
            "self._preprocess_engine_kwargs(engine_kwargs)",
            '"scheduling_policy": self.config.scheduling_policy',
            "**engine_kwargs,",
        ),
    ),
    Seam(
        "a request's tokens come from the engine's generate",
        "rollout.time_limit",
        f"{SERVER}.generate",
        fragments=(
            "generator = self.engine.generate(",
            "request_id=request_id,",
            "priority=priority,",
            "async for output in generator:",
        ),
    ),
    Seam(
        "a client hands a priority on",
        "training.care.agent_loop",
        "verl.workers.rollout.llm_server:LLMServerClient.generate",
        fragments=('priority = kwargs.pop("priority", 0)', "**priority_kwargs,"),
    ),
    Seam(
        "server.generate",
        "rollout.server",
        f"{SERVER}.generate",
        parameters="self, prompt_ids, sampling_params, request_id, image_data, video_data, "
        "audio_data, mm_processor_kwargs, priority, kv_transfer_params",
    ),
)
