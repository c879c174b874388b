"""An agent-loop worker that knows groups: the sessions of one training prompt.

verl publishes a prompt as finished once every session has returned. The last session to settle
therefore sees to its group before it returns, and the trainer never sees half a group.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopWorkerTQ

from care_verl.common.logs import logger_of
from care_verl.common.vocabulary import end_token_ids, piece_of, vocab_bytes
from care_verl.platform.actor_classes import plain_class
from care_verl.platform.places import QUEUE_WORKER, WORKER
from care_verl.platform.seam import Seam
from care_verl.training.run.activation import require_active
from care_verl.training.run.failures import discard_group, one_line, report_misfit
from care_verl.training.run.media_cache import MediaCache
from care_verl.training.run.misfit import FIRST_PROMPTS, FirstRows, MisfitError, require_single_turn
from care_verl.training.run.seeding import Seeding

logger = logger_of(__name__)

_WorkerBase: Any = plain_class(AgentLoopWorkerTQ)


RELIES_ON = (
    Seam(
        f"{QUEUE_WORKER}._run_prompt",
        "a prompt's status follows its sessions",
        'n = prompt.pop("__rollout_n__", config.n',
        "self._run_agent_loop(",
        "session_id=i, **prompt",
        "await _settle_session_tasks(tasks)",
        'status = "failure"',
        'status = "finished"',
        'tag={"status": status}',
    ),
    Seam(
        f"{WORKER}._run_agent_loop",
        "a session ends in the postprocess, with its fields",
        "server_manager=self.llm_client",
        "await agent_loop.run(sampling_params, **kwargs)",
        'self._agent_loop_postprocess(output, trajectory["validate"], **kwargs)',
    ),
    Seam(
        f"{QUEUE_WORKER}._agent_loop_postprocess",
        "the postprocess scores, then puts {uid}_{session}_{index}",
        "await self._compute_score(outputs, kwargs=kwargs)",
        'keys.append(f"{uid}_{session_id}_{i}")',
        "output.as_dict()",
        "field.update(kwargs)",
        '"prompt_len": prompt_len',
        '"response_len": response_len',
        '"seq_len": prompt_len + response_len',
        'partition_id="train" if not validate else "val"',
    ),
)


@dataclass
class Group:
    """The sessions of one prompt as they settle; `size` is G. `failures` says what went wrong."""

    uid: str
    size: int
    failures: list[str] = field(default_factory=list)
    settled: int = 0
    scored: int = 0

    def settle(self) -> bool:
        """Count one session as over, scored or failed. True for the last one."""
        self.settled += 1
        return self.settled == self.size


class GroupWorker(_WorkerBase):  # type: ignore[misc]
    """Runs training prompts as groups that are published whole or discarded; validation as verl.

    Subclasses put seeds and client in place, and say what a settled session and a settled group
    need.
    """

    llm_client: Any
    _seeding: Seeding

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        require_active("an agent-loop worker")
        super().__init__(*args, **kwargs)
        self._vocab = vocab_bytes(
            self.tokenizer, end_token_ids(self.model_config.generation_config)
        )
        self._groups: dict[str, Group] = {}
        self._media = MediaCache()
        self._first_rows = FirstRows()

    @abstractmethod
    def _new_group(self, uid: str, size: int) -> Group:
        """The group of a prompt whose sessions are about to start."""

    @abstractmethod
    async def _settled(self, group: Any, output: AgentLoopOutput, fields: dict[str, Any]) -> None:
        """Score the output of a session, whose prompt has `fields`, and publish it."""

    async def _complete(self, group: Any, sampling_params: dict[str, Any]) -> None:
        """Every session has settled well; the prompt is not published yet."""

    def _rollout_params(self, sampling_params: dict[str, Any]) -> dict[str, Any]:
        """What the requests of a training session ask for."""
        return sampling_params

    def _compute_multi_modal_inputs(self, output: AgentLoopOutput, input_ids: Any) -> Any:
        compute = super()._compute_multi_modal_inputs
        if not hasattr(self.processor, "get_rope_index"):
            # verl then leaves per-token outputs in the result, which are the row's own.
            return compute(output, input_ids)
        return self._media.get(output.multi_modal_data, lambda: compute(output, input_ids))

    async def _run_prompt(
        self,
        prompt: dict[str, Any],
        sampling_params: dict[str, Any],
        trajectory: dict[str, Any],
        trace: bool = False,
    ) -> None:
        if trajectory["validate"]:
            await super()._run_prompt(prompt, sampling_params, trajectory, trace)
            return
        uid = prompt["uid"]
        size = int(prompt.get("__rollout_n__", self.config.actor_rollout_ref.rollout.n))
        self._groups[uid] = self._new_group(uid, size)
        try:
            await super()._run_prompt(prompt, sampling_params, trajectory, trace)
        finally:
            del self._groups[uid]

    async def _run_agent_loop(
        self, sampling_params: dict[str, Any], trajectory: dict[str, Any], **kwargs: Any
    ) -> None:
        group = self._groups.get(kwargs["uid"])
        if group is None:
            seeded = self._seeding.validation(sampling_params, trajectory, kwargs)
            await super()._run_agent_loop(seeded, trajectory, **kwargs)
            return
        try:
            require_single_turn(kwargs)
            seeded = self._seeding.rollout(sampling_params, group.uid, kwargs["session_id"])
            await super()._run_agent_loop(self._rollout_params(seeded), trajectory, **kwargs)
        except Exception as error:
            failed = f"session {kwargs['session_id']} of {prompt_name(kwargs)}"
            group.failures.append(f"{failed}: {one_line(error)}")
            if isinstance(error, MisfitError):
                await report_misfit(group.uid, group.failures[-1])
            raise
        finally:
            if group.settle():
                await self._close(group, sampling_params)

    async def _close(self, group: Group, sampling_params: dict[str, Any]) -> None:
        """Every session has settled: complete a whole group, discard one that is not."""
        if group.scored < group.size and not group.failures:
            group.failures.append("a session was cancelled")
        try:
            if not group.failures:
                await self._complete(group, sampling_params)
        finally:
            if group.failures:
                cause = group.failures[0]
                logger.error(
                    "group discarded, %d of %d sessions settled well; %s",
                    group.scored,
                    group.size,
                    cause,
                )
                await discard_group(group.uid, cause)

    async def _agent_loop_postprocess(
        self, output: AgentLoopOutput | list[AgentLoopOutput], validate: bool, **kwargs: Any
    ) -> None:
        group = None if validate else self._groups.get(kwargs["uid"])
        if group is None:
            await super()._agent_loop_postprocess(output, validate, **kwargs)
            return
        try:
            await self._settled(group, _single(output), kwargs)
        except Exception as error:
            if self._first_rows.never_fit(group.uid) and not isinstance(error, MisfitError):
                raise MisfitError(
                    f"no row of the first {FIRST_PROMPTS} prompts could be used; {one_line(error)}"
                ) from error
            raise
        self._first_rows.passed()
        group.scored += 1

    async def _put(self, output: AgentLoopOutput, fields: dict[str, Any]) -> None:
        """verl's: put the row of a training session into the queue."""
        await super()._agent_loop_postprocess(output, False, **fields)

    def _piece(self, token: int) -> bytes:
        return piece_of(token, self._vocab)


def prompt_name(fields: Mapping[str, Any]) -> str:
    """A prompt for messages: its id in the queue and where the row comes from."""
    known = [f"{name} {fields[name]!r}" for name in ("data_source", "index") if name in fields]
    return f"prompt {fields['uid']} ({', '.join(known)})" if known else f"prompt {fields['uid']}"


def _single(output: AgentLoopOutput | list[AgentLoopOutput]) -> AgentLoopOutput:
    """The one output of a session. Raises MisfitError for loops that return several."""
    if not isinstance(output, list):
        return output
    if len(output) != 1:
        raise MisfitError(
            f"the agent loop returned {len(output)} outputs for one session; whole responses are "
            "compared, which needs one (rollout.agent.default_agent_loop=single_turn_agent)"
        )
    return output[0]
