"""An estimate of memory: the largest parts, with their arithmetic. No run is measured here.

FSDP shards parameters, gradients and Adam's two moments over all ranks. In an update every rank
also holds one whole layer in 16 bits, the layers' inputs of one micro-batch (recomputed from with
gradient checkpointing) and its logits. While vLLM decodes, it takes its share of the GPU, and what
the trainer did not move to the CPU stays beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import DictConfig, OmegaConf

from care_verl.tools.doctor.finding import Check, Finding
from care_verl.tools.doctor.lengths import Budgets
from care_verl.tools.doctor.model_facts import ModelFacts
from care_verl.tools.doctor.sizes import Sizes

CHECK = Check("memory (estimate)")
GIB = 2**30
_BYTES = {"fp32": 4, "float32": 4, "bf16": 2, "bfloat16": 2, "fp16": 2, "float16": 2, "half": 2}
# Adam's moments; of logits one copy in 16 bits and two in 32: scaled by the temperature, and their
# gradient. Of a layer as computed without checkpointing, about as many hidden states.
_MOMENTS, _LOGITS, _UNCHECKPOINTED = 2, 2 + 4 + 4, 16
# CUDA's context, NCCL's buffers and the allocator's gaps.
_OVERHEAD = 3 * GIB


@dataclass(frozen=True)
class Plan:
    """What of a configuration decides about memory. Widths are bytes of a number."""

    model: ModelFacts
    ranks: int
    shards: int
    tensor: int
    weight: int
    compute: int
    rollout: int
    lora_rank: int
    tokens: int
    row: int
    checkpointing: bool
    offload_parameters: bool
    offload_optimizer: bool
    share: float
    sleeps: bool
    reference: bool

    @classmethod
    def of(cls, config: DictConfig, model: ModelFacts) -> Plan:
        """That of a completed configuration."""
        roles, sizes, budgets = config.actor_rollout_ref, Sizes.of(config), Budgets.of(config)
        engine = roles.actor.fsdp_config
        shards = int(engine.fsdp_size)
        compute = OmegaConf.select(engine, "mixed_precision.param_dtype") or "bf16"
        return cls(
            model=model,
            ranks=sizes.gpus,
            shards=shards if shards > 0 else sizes.gpus,
            tensor=sizes.tensor,
            weight=_BYTES[str(engine.model_dtype)],
            compute=_BYTES[str(compute)],
            rollout=_BYTES[str(roles.rollout.dtype)],
            lora_rank=max(int(roles.model.lora_rank), int(roles.model.lora.rank or 0)),
            tokens=_tokens(config, budgets),
            row=budgets.context or model.context,
            checkpointing=bool(roles.model.enable_gradient_checkpointing),
            offload_parameters=bool(engine.param_offload),
            offload_optimizer=bool(engine.optimizer_offload),
            share=float(roles.rollout.gpu_memory_utilization),
            sleeps=bool(roles.rollout.free_cache_engine),
            reference=bool(roles.actor.use_kl_loss),
        )

    @property
    def trained(self) -> int:
        """Parameters that have gradients."""
        return self.model.lora * self.lora_rank or self.model.parameters


def _tokens(config: DictConfig, budgets: Budgets) -> int:
    actor = config.actor_rollout_ref.actor
    if actor.use_dynamic_bsz:
        return int(actor.ppo_max_token_len_per_gpu)
    return int(actor.ppo_micro_batch_size_per_gpu or 1) * budgets.row


@dataclass(frozen=True)
class Estimate:
    """Bytes of a GPU. `parameters` and `optimizer` are this rank's shard."""

    parameters: float
    gradients: float
    optimizer: float
    passes: float
    rollout_weights: float
    cache_of_a_row: float

    @property
    def held(self) -> float:
        """The training state."""
        return self.parameters + self.gradients + self.optimizer

    @property
    def update(self) -> float:
        """At the peak of an update."""
        return self.held + self.passes + _OVERHEAD


def estimate(plan: Plan) -> Estimate:
    """The largest parts, in bytes of a GPU."""
    model = plan.model
    layer = model.parameters / max(model.layers, 1) * plan.compute
    kept = plan.tokens * model.hidden * plan.compute * model.layers
    if not plan.checkpointing:
        kept *= _UNCHECKPOINTED
    total = model.parameters + model.lora * plan.lora_rank
    return Estimate(
        parameters=total * plan.weight / plan.shards,
        gradients=plan.trained * plan.weight / plan.shards,
        optimizer=plan.trained * plan.weight * _MOMENTS / plan.shards,
        passes=2 * layer + kept + plan.tokens * model.vocabulary * _LOGITS,
        rollout_weights=model.parameters * plan.rollout / plan.tensor,
        cache_of_a_row=2 * model.layers * model.key_value * plan.rollout * plan.row / plan.tensor,
    )


def check_gpu(plan: Plan, gpu_bytes: float | None) -> list[Finding]:
    """The estimate, against the memory of a GPU where that is known."""
    parts = estimate(plan)
    arithmetic = _arithmetic(plan, parts)
    if gpu_bytes is None:
        return [CHECK.ok(f"{arithmetic}. No GPU here to compare with: give --gpu-memory")]
    problems = [*_update(parts, gpu_bytes), *_rollout(plan, parts, gpu_bytes)]
    return CHECK.unless(problems, f"{arithmetic}, of {_gib(gpu_bytes)} GiB")


def check_ram(plan: Plan, ram_bytes: float) -> list[Finding]:
    """On the CPU: actor, reference and vLLM's copy of the weights share the machine's memory."""
    parts = estimate(plan)
    copies = parts.parameters * (2 if plan.reference else 1) + parts.rollout_weights
    held = plan.ranks * (copies + parts.gradients + parts.optimizer + parts.passes)
    text = (
        f"about {_gib(held)} GiB for actor, reference and rollout of "
        f"{plan.model.parameters:,} parameters, of {_gib(ram_bytes)} GiB of RAM"
    )
    if held < 0.8 * ram_bytes:
        return [CHECK.ok(text)]
    return [CHECK.warning(text, "take a smaller model, or lower ppo_max_token_len_per_gpu")]


def _arithmetic(plan: Plan, parts: Estimate) -> str:
    billions = plan.model.parameters / 1e9
    return (
        f"{billions:.2f} B parameters over {plan.shards} shards: {_gib(parts.parameters)} GiB "
        f"parameters + {_gib(parts.gradients)} gradients + {_gib(parts.optimizer)} Adam + "
        f"{_gib(parts.passes)} for {plan.tokens:,} tokens and their logits + "
        f"{_gib(_OVERHEAD)} overhead = {_gib(parts.update)} GiB in an update; vLLM: "
        f"{_gib(parts.rollout_weights)} GiB weights and {_gib(parts.cache_of_a_row)} GiB cache for "
        f"one row of {plan.row:,} tokens"
    )


def _update(parts: Estimate, gpu_bytes: float) -> list[Finding]:
    if parts.update <= gpu_bytes:
        return []
    return [
        CHECK.warning(
            f"an update needs about {_gib(parts.update)} GiB of {_gib(gpu_bytes)} GiB: "
            f"{_gib(parts.held)} GiB are the shard of the training state, {_gib(parts.passes)} GiB "
            "depend on the tokens of a micro-batch",
            "lower actor_rollout_ref.actor.ppo_max_token_len_per_gpu (not below the longest row) "
            "or ppo_micro_batch_size_per_gpu, take more GPUs, or train adapters "
            "(actor_rollout_ref.model.lora_rank=64)",
        )
    ]


def _rollout(plan: Plan, parts: Estimate, gpu_bytes: float) -> list[Finding]:
    share = plan.share * gpu_bytes
    needed = parts.rollout_weights + parts.cache_of_a_row
    key = "actor_rollout_ref.rollout.gpu_memory_utilization"
    problems = []
    if needed > share:
        problems.append(
            CHECK.error(
                f"{key} = {plan.share} gives vLLM {_gib(share)} GiB; weights and the cache of one "
                f"row need {_gib(needed)} GiB",
                f"raise {key}, actor_rollout_ref.rollout.tensor_model_parallel_size, or lower "
                "actor_rollout_ref.rollout.max_model_len",
            )
        )
    beside = 0.0 if plan.offload_parameters else parts.parameters
    beside += 0.0 if plan.offload_optimizer else parts.optimizer
    if share + beside + _OVERHEAD > gpu_bytes:
        most = max(0.0, (gpu_bytes - beside - _OVERHEAD) / gpu_bytes)
        problems.append(
            CHECK.warning(
                f"while vLLM decodes, its {_gib(share)} GiB and {_gib(beside)} GiB of training "
                f"state are more than {_gib(gpu_bytes)} GiB: it runs out of memory on wake-up",
                f"lower {key} to {most:.2f}, or set actor_rollout_ref.actor.fsdp_config."
                "param_offload=True and optimizer_offload=True",
            )
        )
    return problems


def _gib(count: float) -> str:
    return f"{count / GIB:.1f}"
