"""Worker's end of the channel: embeddings leave through a Unix socket, on a thread of their own."""

from __future__ import annotations

import socket
import threading
from queue import SimpleQueue

from care_verl.rollout.harvest import Delivery
from care_verl.rollout.wire import Harvested, encode


class EmbeddingSender:
    """Sends deliveries to the server at `path`, so that the decode step never waits for them.

    The thread waits for the device and for the socket. Should it fail, its end of the socket
    closes, which the server takes for the loss of this worker.

    Raises OSError where nobody listens at `path`.
    """

    def __init__(self, path: str) -> None:
        self._queue: SimpleQueue[Delivery] = SimpleQueue()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(path)
        threading.Thread(
            target=self._send_all, args=(connection,), name="care-embeddings", daemon=True
        ).start()

    def put(self, delivery: Delivery) -> None:
        """Queue a delivery and return at once."""
        self._queue.put(delivery)

    def _send_all(self, connection: socket.socket) -> None:
        with connection:
            while True:
                delivery = self._queue.get()
                embeddings = delivery.embeddings.wait().numpy()
                counts = delivery.counts.wait().tolist()
                for ticket, row, tokens in zip(delivery.tickets, embeddings, counts, strict=True):
                    embedding = row[:0] if ticket.key in delivery.lost else row
                    connection.sendall(encode(Harvested(ticket.key, embedding, tokens)))
