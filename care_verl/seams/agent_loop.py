"""An agent-loop worker: its prompts and sessions, and what is put of them."""

from __future__ import annotations

from care_verl.seams.places import QUEUE_MANAGER, QUEUE_WORKER, TASK_RUNNER, WORKER
from care_verl.seams.seam import Seam

SEAMS: tuple[Seam, ...] = (
    Seam(
        "the manager is chosen by name",
        "training.configuration",
        f"{TASK_RUNNER}.init_agent_loop_manager",
        fragments=(
            '.get("agent_loop_manager_class")',
            "load_class_from_fqn(manager_class_fqn",
        ),
    ),
    Seam(
        "the manager names its worker class",
        "training.care.agent_loop",
        f"{QUEUE_MANAGER}.__init__",
        fragments=(
            "self.agent_loop_workers_class = AgentLoopWorkerTQ",
            "super().__init__(*args, **kwargs)",
        ),
    ),
    Seam(
        "the manager starts the class that it names",
        "training.care.agent_loop",
        "verl.experimental.agent_loop.agent_loop:AgentLoopManager._init_agent_loop_workers",
        fragments=(
            "self.agent_loop_workers = []",
            "self.agent_loop_workers_class.options(",
        ),
    ),
    Seam(
        "sampling parameters ask for log-probabilities",
        "training.configuration",
        f"{QUEUE_WORKER}.generate_sequences",
        fragments=(
            "sampling_params = dict(",
            "logprobs=config.calculate_log_probs",
        ),
    ),
    Seam(
        "a prompt's status follows its sessions",
        "training.run.agent_loop",
        f"{QUEUE_WORKER}._run_prompt",
        fragments=(
            'n = prompt.pop("__rollout_n__", config.n',
            "self._run_agent_loop(",
            "session_id=i, **prompt",
            "await _settle_session_tasks(tasks)",
            'status = "failure"',
            'status = "finished"',
            'tag={"status": status}',
        ),
    ),
    Seam(
        "a prompt is published when every session has settled",
        "training.run.failures",
        f"{QUEUE_WORKER}._run_prompt",
        fragments=(
            "session_errors = await _settle_session_tasks(tasks)",
            'status = "failure"',
        ),
    ),
    Seam(
        "a session ends in the postprocess, with its fields",
        "training.run.agent_loop",
        f"{WORKER}._run_agent_loop",
        fragments=(
            "server_manager=self.llm_client",
            "await agent_loop.run(sampling_params, **kwargs)",
            'self._agent_loop_postprocess(output, trajectory["validate"], **kwargs)',
        ),
    ),
    Seam(
        "the postprocess scores, then puts {uid}_{session}_{index}",
        "training.run.agent_loop",
        f"{QUEUE_WORKER}._agent_loop_postprocess",
        fragments=(
            "await self._compute_score(outputs, kwargs=kwargs)",
            'keys.append(f"{uid}_{session_id}_{i}")',
            "output.as_dict()",
            "field.update(kwargs)",
            '"prompt_len": prompt_len',
            '"response_len": response_len',
            '"seq_len": prompt_len + response_len',
            'partition_id="train" if not validate else "val"',
        ),
    ),
    Seam(
        "a scored output is left alone",
        "training.care.agent_loop",
        f"{WORKER}._compute_score",
        fragments=(
            "if final_output.reward_score is None and enable_async_reward",
            "self._compute_multi_modal_inputs(output, input_ids)",
            'final_output.reward_score = result["reward_score"]',
            'final_output.extra_fields["reward_extra_info"] = result["reward_extra_info"]',
        ),
    ),
    Seam(
        "rows share columns by what was set",
        "training.care.group_stage",
        "verl.experimental.agent_loop.agent_loop:AgentLoopOutput.as_dict",
        fragments=(
            "self.model_dump(exclude_unset=True)",
            'output["rollout_log_probs"]',
        ),
    ),
    Seam(
        "group_worker._run_prompt",
        "training.run.agent_loop",
        f"{QUEUE_WORKER}._run_prompt",
        parameters="self, prompt, sampling_params, trajectory, trace",
    ),
    Seam(
        "group_worker._run_agent_loop",
        "training.run.agent_loop",
        f"{QUEUE_WORKER}._run_agent_loop",
        parameters="self, sampling_params, trajectory, agent_name, trace, kwargs",
    ),
    Seam(
        "group_worker._agent_loop_postprocess",
        "training.run.agent_loop",
        f"{QUEUE_WORKER}._agent_loop_postprocess",
        parameters="self, output, validate, kwargs",
    ),
    Seam(
        "agent_loop._compute_score",
        "training.care.agent_loop",
        f"{QUEUE_WORKER}._compute_score",
        parameters="self, outputs, kwargs",
    ),
    Seam(
        "group_worker._compute_multi_modal_inputs",
        "training.run.agent_loop",
        f"{QUEUE_WORKER}._compute_multi_modal_inputs",
        parameters="self, output, input_ids",
    ),
)
