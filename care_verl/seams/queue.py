"""The replay buffer and the queue behind it."""

from __future__ import annotations

from care_verl.seams.places import BUFFER
from care_verl.seams.seam import Seam

SEAMS: tuple[Seam, ...] = (
    Seam(
        "the buffer polls where we check",
        "training.run.liveness",
        f"{BUFFER}.sample",
        fragments=("last_debug_time = self._wait_for_next_poll(partition_id, last_debug_time)",),
    ),
    Seam(
        "the buffer sleeps as long as it is told",
        "training.run.polling",
        f"{BUFFER}._wait_for_next_poll",
        fragments=("time.sleep(self.poll_interval)",),
    ),
    Seam(
        "the buffer looks before each sleep",
        "training.run.polling",
        f"{BUFFER}.sample",
        fragments=(
            "while True:",
            "self._sync_metadata_from_transfer_queue()",
            "self._wait_for_next_poll(",
        ),
    ),
    Seam(
        "polling._sync_metadata_from_transfer_queue",
        "training.run.polling",
        f"{BUFFER}._sync_metadata_from_transfer_queue",
        parameters="self",
    ),
    Seam(
        "a failed group is refilled when no row of it is left",
        "training.run.failures",
        f"{BUFFER}._terminal_eviction_reasons",
        fragments=("failed_uids = self.failure_keys[partition_id] - materializable_uids",),
    ),
    Seam(
        "the buffer's snapshot holds every partition",
        "training.run.failures",
        f"{BUFFER}._sync_metadata_from_transfer_queue",
        fragments=(
            "data = tq.kv_list()",
            "for partition_id, items in data.items()",
        ),
    ),
    Seam(
        "tags of a row are merged",
        "training.care.agent_loop",
        f"{BUFFER}._sync_metadata_from_transfer_queue",
        fragments=("partition[key].update(tag)",),
    ),
    Seam(
        "the queue returns those fields that it has",
        "training.recording.held_step",
        "transfer_queue.metadata:BatchMeta.select_fields",
        fragments=(
            "for field_name in field_names",
            "if field_name in self.field_schema",
        ),
    ),
    Seam(
        "failures.sample",
        "training.run.failures",
        f"{BUFFER}.sample",
        parameters="self, global_steps, partition_id, batch_size",
    ),
    Seam(
        "liveness._wait_for_next_poll",
        "training.run.liveness",
        f"{BUFFER}._wait_for_next_poll",
        parameters="self, partition_id, last_debug_time",
    ),
    Seam(
        "the queue's storages are where they are looked for",
        "training.run.queue_watch",
        "transfer_queue.interface:_maybe_create_tq_storage",
        fragments=("_TQ_STORAGE[backend_name] = backend_resources",),
    ),
    Seam(
        "the queue's controller is where it is looked for",
        "training.run.queue_watch",
        "transfer_queue.interface:init",
        fragments=("_TQ_CONTROLLER = TransferQueueController.options(",),
    ),
)
