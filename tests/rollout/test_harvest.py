"""The harvest's bookkeeping against a simulated engine that chunks, preempts and reorders.

What this does not prove: that vLLM's steps look like these (`test_harvest_vs_oracle`).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from care_verl.algorithm import token_spans
from care_verl.algorithm.automaton import RationaleAutomaton
from care_verl.grammar import TagSpec
from care_verl.rollout.harvest import (
    MOST_LOST,
    Delivery,
    HarvestSurpriseError,
    RationaleHarvest,
    Step,
)
from care_verl.rollout.slots import SlotTable
from care_verl.rollout.ticket import Ticket

TAGS = TagSpec(think="t", answer="a")
VOCAB = [b"", b"<", b"t", b">", b"/", b"x", b"<t>", b"</", b"y<", b">z", b"</t>"]
END = 0
WIDTH = 5


@dataclass
class Request:
    """A request whose tokens and hidden rows are known beforehand."""

    name: str
    ticket: Ticket | None
    prompt_len: int
    response: list[int]
    hidden: torch.Tensor
    """[prompt + response, WIDTH]."""
    known: int
    """Tokens known to the engine."""
    computed: int = 0

    @property
    def done(self) -> bool:
        return self.known == self.prompt_len + len(self.response)

    def token(self, position: int) -> int:
        return self.response[position - self.prompt_len] if position >= self.prompt_len else 1

    def expected(self) -> tuple[torch.Tensor, int]:
        assert self.ticket is not None
        fed = [VOCAB[token] for token in self.response[:-1]]
        begin, end = token_spans(fed, TAGS, self.ticket.prefilled).rationale or (0, 0)
        rows = self.hidden[self.prompt_len + begin : self.prompt_len + end]
        pooled = rows.double().mean(dim=0) if end > begin else torch.zeros(WIDTH).double()
        return torch.nn.functional.normalize(pooled, dim=0), end - begin


class Engine:
    """Feeds a random batch a step, in a random order, some prompts in chunks."""

    def __init__(self, rng: random.Random, requests: list[Request]) -> None:
        self.rng = rng
        self.waiting = requests
        self.running: list[Request] = []
        self.delivered: dict[bytes, tuple[torch.Tensor, int]] = {}
        self.lost: set[bytes] = set()
        automaton = RationaleAutomaton.build(VOCAB, TAGS, ())
        table = SlotTable(automaton, WIDTH, torch.device("cpu"))
        self.harvest = RationaleHarvest(table, self.collect)

    def collect(self, delivery: Delivery) -> None:
        rows = zip(delivery.embeddings.wait(), delivery.counts.wait().tolist(), strict=True)
        self.lost |= delivery.lost
        for ticket, row in zip(delivery.tickets, rows, strict=True):
            self.delivered[ticket.key] = row

    def run(self) -> None:
        while self.waiting or self.running:
            self.admit()
            self.preempt()
            self.step([request for request in self.running if self.rng.random() < 0.8])
            ended = [request for request in self.running if request.done]
            self.running = [request for request in self.running if not request.done]
            self.harvest.close([request.name for request in ended])

    def admit(self) -> None:
        while self.waiting and self.rng.random() < 0.6:
            request = self.waiting.pop()
            self.running.append(request)
            if request.ticket is not None:
                self.harvest.open(request.name, request.ticket, request.prompt_len)

    def preempt(self) -> None:
        for request in self.running:
            if self.rng.random() < 0.05:
                request.computed = self.rng.randrange(request.computed + 1)

    def step(self, batch: list[Request]) -> None:
        self.rng.shuffle(batch)
        fed, known, tokens, hidden = [], [], [], []
        for request in batch:
            chunk = self.rng.randint(1, request.known - request.computed)
            request.computed += chunk
            position = request.computed - 1
            fed.append(position)
            known.append(request.known)
            tokens.append(request.token(position))
            hidden.append(request.hidden[position])
        if batch:
            names = [request.name for request in batch]
            step = Step(names, np.array(fed), np.array(known))
            self.harvest.observe(step, torch.tensor(tokens), torch.stack(hidden))
        for request in batch:
            request.known += request.computed == request.known


def requests(rng: random.Random, count: int) -> list[Request]:
    made = []
    for index in range(count):
        prompt_len = rng.randint(1, 9)
        response = [rng.randrange(1, len(VOCAB)) for _ in range(rng.randint(1, 40))]
        if rng.random() < 0.5:
            response[-1] = END
        generator = torch.Generator().manual_seed(rng.randrange(2**31))
        hidden = torch.randn(prompt_len + len(response), WIDTH, generator=generator)
        ticket = Ticket.draw(rng.random() < 0.3) if rng.random() < 0.8 else None
        made.append(Request(str(index), ticket, prompt_len, response, hidden, prompt_len))
    return made


@pytest.mark.parametrize("seed", range(6))
def test_each_fed_rationale_token_is_pooled_once(seed: int) -> None:
    rng = random.Random(seed)
    everyone = requests(rng, 60)
    engine = Engine(rng, list(everyone))

    engine.run()

    tagged = [request for request in everyone if request.ticket is not None]
    assert len(engine.delivered) == len(tagged)
    assert engine.harvest.idle
    assert not engine.lost
    for request in tagged:
        embedding, tokens = engine.delivered[request.ticket.key]
        expected, count = request.expected()
        assert tokens == count
        torch.testing.assert_close(embedding.double(), expected, atol=1e-6, rtol=0)


class Harvest:
    """Requests of their own in a harvest; what was delivered of each."""

    def __init__(self, *names: str, prompt_len: int = 4) -> None:
        automaton = RationaleAutomaton.build(VOCAB, TAGS, ())
        table = SlotTable(automaton, WIDTH, torch.device("cpu"))
        self.harvest = RationaleHarvest(table, self.collect)
        self.tickets = {name: Ticket.draw(prefilled=True) for name in names}
        for name, ticket in self.tickets.items():
            self.harvest.open(name, ticket, prompt_len)
        self.counts: dict[bytes, int] = {}
        self.lost: set[bytes] = set()

    def collect(self, delivery: Delivery) -> None:
        keys = [ticket.key for ticket in delivery.tickets]
        self.counts |= dict(zip(keys, delivery.counts.wait().tolist(), strict=True))
        self.lost |= delivery.lost

    def feed(self, position: int, known: int, *names: str) -> None:
        n = len(names or ("r",))
        step = Step(names or ("r",), np.full(n, position), np.full(n, known))
        self.harvest.observe(step, torch.full((n,), 5), torch.ones(n, WIDTH))


def test_a_request_with_a_left_out_position_alone_has_no_embedding(
    caplog: pytest.LogCaptureFixture,
) -> None:
    harvest = Harvest("r", "s")
    harvest.feed(4, 5, "r", "s")
    harvest.feed(6, 7, "r")
    harvest.feed(5, 6, "s")
    harvest.feed(7, 8, "r")
    harvest.harvest.close(["r", "s"])
    assert harvest.lost == {harvest.tickets["r"].key}
    assert harvest.counts[harvest.tickets["s"].key] == 2
    assert harvest.harvest.idle
    (message,) = caplog.messages
    assert "for request r: a step fed position 6, but the last one pooled is 4" in message


def test_a_token_sampled_anew_behind_a_pooled_one_costs_the_embedding(
    caplog: pytest.LogCaptureFixture,
) -> None:
    harvest = Harvest("r")
    for position in (4, 5, 6):
        harvest.feed(position, position + 1)
    harvest.feed(4, 7)
    assert caplog.messages == []
    harvest.feed(5, 6)
    assert "is sampled again" in caplog.text
    harvest.harvest.close(["r"])
    assert harvest.lost == {harvest.tickets["r"].key}


def test_more_than_a_few_lost_requests_end_the_engine() -> None:
    names = [str(i) for i in range(MOST_LOST + 1)]
    harvest = Harvest(*names)
    for name in names[:-1]:
        harvest.feed(6, 7, name)
    with pytest.raises(HarvestSurpriseError, match="17 requests of this engine lost"):
        harvest.feed(6, 7, names[-1])


def test_the_first_token_may_be_sampled_after_a_repeated_prefill() -> None:
    harvest = Harvest("r")
    for position, known in ((1, 4), (3, 4), (0, 4), (3, 4), (4, 5)):
        harvest.feed(position, known)
    harvest.harvest.close(["r"])
    assert harvest.lost == set()


def test_requests_that_were_never_opened_are_passed_over_at_their_end() -> None:
    harvest = Harvest("r")
    harvest.harvest.close(["stranger"])
    assert not harvest.harvest.idle
