"""The harvest's accumulators on a device, against means in float64 that are taken by hand.

Each request's rationale is known from how its tokens are made: nothing here reads tags. What this
does not prove: that vLLM's steps look like these.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from care_verl.algorithm.automaton import RationaleAutomaton
from care_verl.grammar import TagSpec
from care_verl.rollout.harvest import Delivery, RationaleHarvest, Step
from care_verl.rollout.host_copy import HostCopy
from care_verl.rollout.slots import SlotTable
from care_verl.rollout.ticket import Ticket

from .devices import on_each_device, only_on_cuda

TAGS = TagSpec(think="think")
OPEN, CLOSE, WORD, END = range(4)
VOCAB = [b"<think>", b"</think>", b" word", b""]
WIDTH = 96
PROMPT = 5


@dataclass
class Request:
    """A response: words, the opening tag, the rationale, the closing tag, words."""

    before: int
    rationale: int
    behind: int
    ticket: Ticket = field(default_factory=lambda: Ticket.draw(prefilled=False))
    fed: int = 0

    @property
    def tokens(self) -> list[int]:
        inside = [OPEN, *[WORD] * self.rationale, CLOSE]
        return [*[WORD] * self.before, *inside, *[WORD] * self.behind]

    @property
    def inside(self) -> slice:
        return slice(self.before + 1, self.before + 1 + self.rationale)


def requests(rng: random.Random, count: int) -> list[Request]:
    return [Request(rng.randrange(3), rng.randrange(40), rng.randrange(20)) for _ in range(count)]


@on_each_device
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_each_rationale_is_pooled(dtype: torch.dtype, device: str) -> None:
    """150 requests, 40 at a time, in an order that changes; hidden rows as an engine makes them."""
    rng = random.Random(0)
    delivered: dict[bytes, tuple[torch.Tensor, int]] = {}

    def collect(delivery: Delivery) -> None:
        embeddings, counts = delivery.embeddings.wait(), delivery.counts.wait().tolist()
        for ticket, row, count in zip(delivery.tickets, embeddings, counts, strict=True):
            delivered[ticket.key] = (row, count)

    where = torch.device(device)
    automaton = RationaleAutomaton.build(VOCAB, TAGS, [END])
    harvest = RationaleHarvest(SlotTable(automaton, WIDTH, where), collect)
    waiting, running = requests(rng, 150), dict[str, Request]()
    everyone = {id(request): request for request in waiting}
    generator = torch.Generator().manual_seed(0)
    hidden = {
        key: torch.randn(len(request.tokens), WIDTH, generator=generator).to(dtype)
        for key, request in everyone.items()
    }
    while waiting or running:
        while waiting and len(running) < 40:
            request = waiting.pop()
            running[str(id(request))] = request
            harvest.open(str(id(request)), request.ticket, PROMPT)
        names = rng.sample(sorted(running), len(running))
        fed = np.array([PROMPT + running[name].fed for name in names])
        tokens = [running[n].tokens[running[n].fed] for n in names]
        states = torch.stack([hidden[id(running[n])][running[n].fed] for n in names])
        harvest.observe(
            Step(names, fed, fed + 1), torch.tensor(tokens, device=where), states.to(where)
        )
        for name in names:
            running[name].fed += 1
        ended = [name for name in names if running[name].fed == len(running[name].tokens)]
        harvest.close(ended)
        running = {name: request for name, request in running.items() if name not in ended}

    assert harvest.idle
    assert len(delivered) == len(everyone)
    for key, request in everyone.items():
        embedding, count = delivered[request.ticket.key]
        assert count == request.rationale
        pooled = hidden[key][request.inside].double()
        mean = pooled.mean(dim=0) if request.rationale else torch.zeros(WIDTH).double()
        wanted = torch.nn.functional.normalize(mean, dim=0)
        assert embedding.dtype == torch.float32
        torch.testing.assert_close(embedding.double(), wanted, atol=2e-6, rtol=0)


@on_each_device
def test_slots_are_used_again(device: str) -> None:
    """A freed slot begins at zero, and growing keeps what the others hold."""
    automaton = RationaleAutomaton.build(VOCAB, TAGS, [END])
    where = torch.device(device)
    table = SlotTable(automaton, 2, where)
    first = table.acquire(prefilled=True)
    both = torch.tensor([[3.0, 4.0]], device=where)
    table.add(table.select([first]), torch.tensor([WORD], device=where), both)
    others = [table.acquire(prefilled=True) for _ in range(100)]
    assert first not in others
    embedding, count = table.release([first])
    torch.testing.assert_close(embedding.cpu(), torch.tensor([[0.6, 0.8]]))
    assert count.tolist() == [1]
    again = table.acquire(prefilled=True)
    assert again == first
    embedding, count = table.release([again])
    assert not embedding.any()
    assert count.tolist() == [0]


@only_on_cuda
def test_a_copy_to_the_host_outlives_its_source(device: str) -> None:
    """Work queued behind the copy overwrites the source; on a CPU there is no copy."""
    source = torch.arange(8_000_000, dtype=torch.float32, device=device)
    copy = HostCopy.start(source)
    source.fill_(-1)
    assert torch.equal(copy.wait(), torch.arange(8_000_000, dtype=torch.float32))
