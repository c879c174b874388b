"""The actor: its workers, its engine and its loss."""

from __future__ import annotations

from care_verl.seams.places import ACTOR, ENGINE, LM_ENGINE, TRAINING_WORKER
from care_verl.seams.seam import Seam

SEAMS: tuple[Seam, ...] = (
    Seam(
        "which worker the actor builds",
        "training.care.worker",
        f"{ACTOR}.init_model",
        fragments=(
            "partial(ppo_loss, config=actor_config)",
            "self.actor = self.actor_worker_cls(config=actor_training_config)",
        ),
    ),
    Seam(
        "old log-probabilities are the actor's",
        "training.care.actor_pooling",
        f"{ACTOR}.compute_log_prob",
        fragments=("self.actor.infer_batch(data)",),
    ),
    Seam(
        "the reference is another worker",
        "training.care.actor_pooling",
        f"{ACTOR}.compute_ref_log_prob",
        fragments=("self.ref.infer_batch(data=data)",),
    ),
    Seam(
        "an update is cut into mini-batches",
        "training.care.worker",
        f"{ACTOR}.update_actor",
        fragments=("self.actor.train_mini_batch(data=data)",),
    ),
    Seam(
        "each mini-batch passes train_batch",
        "training.care.worker",
        f"{TRAINING_WORKER}.train_mini_batch",
        fragments=(
            'num_mini_batch = tu.pop(data, key="num_mini_batch"',
            "if mini_batch_size is None",
            "mini_batch_size_per_gpu = batch_size_per_dp // num_mini_batch",
            "actor_output = self.train_batch(mini_batch_td)",
        ),
    ),
    Seam(
        "the loss sees the global batch",
        "training.care.policy_loss",
        "verl.workers.utils.losses:ppo_loss",
        fragments=(
            'config.global_batch_info["dp_size"] = data["dp_size"]',
            'config.global_batch_info["global_batch_size"] = data["global_batch_size"]',
            "policy_loss_fn(",
            "Metric.from_dict(pg_metrics, aggregation=AggregationType.MEAN)",
            "loss_agg_mode=config.loss_agg_mode, **config.global_batch_info",
        ),
    ),
    Seam(
        "the engine counts ranks, not rows",
        "training.care.worker",
        f"{ENGINE}.forward_backward_batch",
        fragments=(
            "dp_size=self.get_data_parallel_size()",
            "self.forward_step(micro_batch",
        ),
    ),
    Seam(
        "model outputs are prepared after the forward pass",
        "training.care.actor_pooling",
        f"{LM_ENGINE}.forward_step",
        fragments=(
            "raw_output = self.module(",
            "self.prepare_model_outputs(",
            "micro_batch=micro_batch",
            '"model_output": ',
        ),
    ),
    Seam(
        "a gradient that is not finite is not applied",
        "training.care.trainer",
        f"{ENGINE}.optimizer_step",
        fragments=(
            "if not torch.isfinite(grad_norm):",
            "self.optimizer.zero_grad()",
        ),
    ),
    Seam(
        "worker.train_batch",
        "training.care.worker",
        f"{TRAINING_WORKER}.train_batch",
        parameters="self, data",
    ),
    Seam(
        "worker.infer_batch",
        "training.care.worker",
        f"{TRAINING_WORKER}.infer_batch",
        parameters="self, data",
    ),
    Seam(
        "oracle.prepare_model_outputs",
        "training.care.actor_pooling",
        f"{LM_ENGINE}.prepare_model_outputs",
        parameters="self, output, output_args, micro_batch, logits_processor_func",
    ),
    Seam(
        "a micro-batch without an image is embedded by way of an empty one",
        "training.run.text_only",
        "verl.models.transformers.qwen2_vl:qwen2_vl_base_forward",
        fragments=("_get_input_embeds(",),
    ),
)
