"""From the worker's sending thread through the socket to the request that waits."""

from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from care_verl.rollout.channel import (
    Decoder,
    EmbeddingInbox,
    EmbeddingSender,
    Harvested,
    HarvestLostError,
    encode,
)
from care_verl.rollout.harvest import Delivery
from care_verl.rollout.host_copy import HostCopy
from care_verl.rollout.ticket import Ticket


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 20))


def delivery(tickets: list[Ticket], rows: torch.Tensor, counts: list[int]) -> Delivery:
    return Delivery(tickets, HostCopy.start(rows), HostCopy.start(torch.tensor(counts)))


@pytest.mark.parametrize("cut", [1, 7, 24, 1000])
def test_messages_survive_any_fragmentation(cut: int) -> None:
    sent = [Harvested(bytes([i]) * 16, np.arange(i, dtype=np.float32), i) for i in range(5)]
    stream = b"".join(encode(message) for message in sent)
    decoder = Decoder()
    got = [
        message
        for begin in range(0, len(stream), cut)
        for message in decoder.feed(stream[begin : begin + cut])
    ]
    assert [(m.key, m.tokens, m.embedding.tolist()) for m in got] == [
        (m.key, m.tokens, m.embedding.tolist()) for m in sent
    ]


def test_embeddings_reach_their_tickets_and_strangers_are_dropped() -> None:
    async def work() -> None:
        inbox = EmbeddingInbox()
        sender = EmbeddingSender(await inbox.listen())
        await inbox.close_door(1, 5)
        tickets = [Ticket.draw(False) for _ in range(3)]
        inbox.expect(tickets[0])
        inbox.expect(tickets[2])
        rows = torch.arange(12, dtype=torch.float32).reshape(3, 4)
        sender.put(delivery(tickets, rows, [1, 2, 3]))
        for index in (2, 0):
            harvested = await inbox.receive(tickets[index], 5)
            assert harvested.tokens == index + 1
            assert harvested.embedding.dtype == np.float32
            assert harvested.embedding.tolist() == rows[index].tolist()
            inbox.forget(tickets[index])

    run(work())


def test_a_lost_embedding_arrives_empty() -> None:
    async def work() -> None:
        inbox = EmbeddingInbox()
        sender = EmbeddingSender(await inbox.listen())
        await inbox.close_door(1, 5)
        lost, whole = Ticket.draw(False), Ticket.draw(False)
        inbox.expect(lost)
        inbox.expect(whole)
        sent = delivery([lost, whole], torch.ones(2, 4), [1, 2])
        sender.put(replace(sent, lost=frozenset([lost.key])))
        assert (await inbox.receive(lost, 5)).embedding.shape == (0,)
        assert (await inbox.receive(whole, 5)).embedding.tolist() == [1.0] * 4

    run(work())


def test_the_door_is_private_and_closes_behind_the_workers() -> None:
    async def work() -> None:
        inbox = EmbeddingInbox()
        path = await inbox.listen()
        assert stat.S_IMODE(Path(path).parent.stat().st_mode) == 0o700
        EmbeddingSender(path)
        await inbox.close_door(1, 5)
        assert not Path(path).parent.exists()
        with pytest.raises(FileNotFoundError):
            EmbeddingSender(path)

    run(work())


def test_workers_that_do_not_connect_are_reported() -> None:
    async def work() -> None:
        inbox = EmbeddingInbox()
        path = await inbox.listen()
        with pytest.raises(HarvestLostError, match="0 of 2 rollout workers connected"):
            await inbox.close_door(2, 0.05)
        assert not Path(path).parent.exists()

    run(work())


def test_a_worker_that_goes_away_fails_who_waits_and_who_comes_later() -> None:
    async def work() -> None:
        inbox = EmbeddingInbox()
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(await inbox.listen())
        await inbox.close_door(1, 5)
        arrived, waiting, later = (Ticket.draw(False) for _ in range(3))
        inbox.expect(arrived)
        inbox.expect(waiting)
        connection.sendall(encode(Harvested(arrived.key, np.ones(2, np.float32), 1)))
        waiter = asyncio.create_task(inbox.receive(waiting, 5))
        await asyncio.sleep(0.05)
        connection.close()
        with pytest.raises(HarvestLostError, match="closed its connection"):
            await waiter
        inbox.expect(later)
        with pytest.raises(HarvestLostError, match="closed its connection"):
            await inbox.receive(later, 5)
        assert (await inbox.receive(arrived, 5)).tokens == 1

    run(work())


def test_a_silent_worker_is_reported() -> None:
    async def work() -> None:
        inbox = EmbeddingInbox()
        EmbeddingSender(await inbox.listen())
        await inbox.close_door(1, 5)
        ticket = Ticket.draw(False)
        inbox.expect(ticket)
        with pytest.raises(HarvestLostError, match=r"did not arrive within 0 s"):
            await inbox.receive(ticket, 0.05)

    run(work())
