"""The limiter against servers that keep a limit of their own, in simulated time; and once against a real one."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from sandbox import Behaviour, Sandbox
from tap_tallyfy.api.client import MAX_REJECTIONS
from tap_tallyfy.api.rate_limit import DEFAULT_WAIT, RateLimiter
from tap_tallyfy.api.retry import LONGEST_WAIT
from tests.tap import run_tap

REQUESTS = 2000
LIMITS = [(12, 5.0), (600, 60.0), (100, 60.0), (37, 7.0)]


@dataclass
class Limited:
    """A server that allows so many requests per so many seconds, and a clock that only waiting moves.

    `phase` is the part of a fixed window that is over when the first request comes.
    """

    limit: int
    window: float
    rolling: bool = False
    phase: float = 0.0
    latency: float = 0.0
    says_how_long: bool = True
    now: float = 1000.0
    waits: list[float] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    most_in_a_row: int = 0
    _in_a_row: int = 0
    _counted: deque[float] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._origin = self.now - self.phase * self.window

    def clock(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def limiter(self, requests_per_minute: float | None = None) -> RateLimiter:
        return RateLimiter(requests_per_minute, clock=self.clock, pause=self.pause)

    def request(self, limiter: RateLimiter) -> None:
        limiter.acquire()
        self.now += self.latency / 2
        wait = self._take()
        self.now += self.latency / 2
        if wait is None:
            limiter.release()
        else:
            limiter.rejected(float(max(1, math.ceil(wait))) if self.says_how_long else None)

    def _take(self) -> float | None:
        start = self.now - (self.window if self.rolling else (self.now - self._origin) % self.window)
        while self._counted and (self._counted[0] <= start if self.rolling else self._counted[0] < start):
            self._counted.popleft()
        if len(self._counted) < self.limit:
            self._counted.append(self.now)
            self.accepted.append(self.now)
            self._in_a_row = 0
            return None
        self.refused.append(self.now)
        self._in_a_row += 1
        self.most_in_a_row = max(self.most_in_a_row, self._in_a_row)
        return (self._counted[0] if self.rolling else start) + self.window - self.now


def exchange(server: Limited, limiter: RateLimiter, requests: int = REQUESTS) -> float:
    """Get so many requests through, and return the seconds it took."""
    started, wanted = server.now, len(server.accepted) + requests
    while len(server.accepted) < wanted:
        server.request(limiter)
        assert server.most_in_a_row < MAX_REJECTIONS
    return server.now - started


def ideal(server: Limited, requests: int = REQUESTS) -> float:
    """The seconds that one who knows the limit needs, sending one at a time."""
    return max((math.ceil(requests / server.limit) - 1) * server.window, requests * server.latency)


@pytest.mark.parametrize("latency", [0.0, 0.15])
@pytest.mark.parametrize(
    ("rolling", "phase"), [(True, 0.0), (False, 0.0), (False, 0.3), (False, 0.5), (False, 0.9), (False, 0.99)]
)
@pytest.mark.parametrize(("limit", "window"), LIMITS)
def test_a_limit_is_found_and_used(*, limit: int, window: float, rolling: bool, phase: float, latency: float) -> None:
    server = Limited(limit, window, rolling, phase, latency)
    limiter = server.limiter()
    share = ideal(server) / exchange(server, limiter)
    assert share >= 0.9
    # A refusal costs a request: hardly any are spent on finding out.
    assert limiter.rejections == len(server.refused) <= REQUESTS // 50
    assert server.most_in_a_row <= 1
    if rolling:
        assert all(later - earlier >= window for earlier, later in pairwise(server.refused))
    else:
        windows = [(moment - 1000 + phase * window) // window for moment in server.refused]
        assert len(windows) == len(set(windows))


@pytest.mark.parametrize("rolling", [False, True])
@pytest.mark.parametrize("latency", [0.0, 0.02, 0.15])
@pytest.mark.parametrize(("limit", "window"), [(17, 1.0), (50, 10.0), (7, 2.0), (20, 4.0), (150, 15.0), (30, 90.0)])
def test_limits_nobody_published_are_found_too(*, limit: int, window: float, rolling: bool, latency: float) -> None:
    for phase in (0.0, 0.4, 0.8):
        server = Limited(limit, window, rolling, phase, latency)
        share = ideal(server) / exchange(server, server.limiter())
        assert share >= 0.9
        assert server.most_in_a_row <= 1


@pytest.mark.parametrize(("limit", "window"), [(12, 5.0), (600, 60.0), (100, 60.0)])
def test_published_limits_are_found_without_being_told_how_long_to_wait(limit: int, window: float) -> None:
    server = Limited(limit, window, phase=0.3, says_how_long=False)
    share = ideal(server) / exchange(server, server.limiter())
    assert share >= 0.9


def test_a_refusal_without_a_time_is_waited_for() -> None:
    server = Limited(5, 60.0)
    limiter = server.limiter()
    limiter.acquire()
    limiter.rejected(None)
    limiter.acquire()
    assert server.waits == [DEFAULT_WAIT]
    assert limiter.waited == DEFAULT_WAIT


def test_requests_that_wait_at_the_same_time_are_one_wait() -> None:
    limiter = RateLimiter()
    started = time.monotonic()
    limiter.acquire()
    limiter.rejected(1.0)
    threads = [threading.Thread(target=limiter.acquire) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0 < limiter.waited <= time.monotonic() - started


@pytest.mark.parametrize(
    ("said", "waited"),
    [(LONGEST_WAIT, LONGEST_WAIT), (LONGEST_WAIT + 1, 0.0), (1e9, 0.0), (math.inf, 0.0), (0.0, 0.01)],
)
def test_the_server_cannot_stop_the_tap_for_ever(said: float, waited: float) -> None:
    server = Limited(5, 60.0)
    limiter = server.limiter()
    limiter.acquire()
    limiter.rejected(said)
    limiter.acquire()
    assert sum(server.waits) == pytest.approx(waited)


def test_a_long_wait_does_not_make_all_that_follows_slow() -> None:
    server = Limited(10**9, 1.0)
    limiter = server.limiter()
    for _ in range(5):
        server.request(limiter)
    limiter.acquire()
    limiter.rejected(1800.0)
    before = server.now
    exchange(server, limiter)
    assert server.now - before == pytest.approx(1800, abs=1)


@pytest.mark.parametrize("rolling", [False, True])
def test_a_limit_for_each_hour_is_kept(*, rolling: bool) -> None:
    server = Limited(1000, 3600.0, rolling, latency=0.05)
    limiter = server.limiter()
    assert ideal(server, 5000) / exchange(server, limiter, 5000) >= 0.9
    assert server.most_in_a_row <= 1


@pytest.mark.parametrize("rolling", [False, True])
@pytest.mark.parametrize(("limit", "window"), LIMITS)
def test_a_limit_that_was_raised_is_found_again(*, limit: int, window: float, rolling: bool) -> None:
    server = Limited(limit, window, rolling, latency=0.01)
    limiter = server.limiter()
    exchange(server, limiter, 5 * limit)
    server.limit = 2 * limit
    exchange(server, limiter, 80 * limit)
    share = ideal(server, 20 * limit) / exchange(server, limiter, 20 * limit)
    assert share >= 0.75  # more is tried in steps of a quarter
    assert server.most_in_a_row <= 1


@pytest.mark.parametrize("rolling", [False, True])
@pytest.mark.parametrize(("limit", "window"), LIMITS)
def test_a_limit_that_was_lowered_is_kept(*, limit: int, window: float, rolling: bool) -> None:
    server = Limited(limit, window, rolling)
    limiter = server.limiter()
    exchange(server, limiter, 5 * limit)
    server.limit = limit // 2
    exchange(server, limiter, 5 * limit)
    before = len(server.refused)
    share = ideal(server, 10 * limit) / exchange(server, limiter, 10 * limit)
    assert share >= 0.85
    assert len(server.refused) - before <= 20  # one a window


@pytest.mark.parametrize("latency", [0.0, 0.15])
@pytest.mark.parametrize("per_minute", [1, 30, 100, 599])
def test_the_cap_holds_in_every_minute(per_minute: int, latency: float) -> None:
    server = Limited(10**9, 1.0, latency=latency)
    limiter = server.limiter(per_minute)
    exchange(server, limiter, per_minute)
    server.now += 45.0  # what was not used meanwhile is not caught up on
    exchange(server, limiter, 2 * per_minute)
    sent = server.accepted
    assert all(later - earlier >= 60 - 1e-6 for earlier, later in zip(sent, sent[per_minute:], strict=False))


def test_the_cap_is_used() -> None:
    server = Limited(10**9, 1.0, latency=0.05)
    assert exchange(server, server.limiter(600), 601) == pytest.approx(60, abs=0.1)


def test_the_cap_is_used_although_threads_wake_up_late() -> None:
    server = Limited(10**9, 1.0, latency=0.05)
    limiter = RateLimiter(600, clock=server.clock, pause=lambda seconds: server.pause(seconds + 0.005))
    assert exchange(server, limiter, 1801) == pytest.approx(180, rel=0.002)
    sent = server.accepted
    assert all(later - earlier >= 60 - 1e-6 for earlier, later in zip(sent, sent[600:], strict=False))


class WouldWaitError(Exception):
    """Instead of waiting."""


def refuse_to_wait(_: float) -> None:
    raise WouldWaitError


def in_flight(limiter: RateLimiter) -> int:
    """How many requests can be sent before one has to wait."""
    sent = 0
    while sent < 100:
        try:
            limiter.acquire()
        except WouldWaitError:
            return sent
        sent += 1
    return sent


@pytest.mark.parametrize(("remaining", "sent"), [("3", 3), ("1", 1), ("0", 1)])
def test_no_more_are_sent_than_remain(remaining: str, sent: int) -> None:
    limiter = RateLimiter(pause=refuse_to_wait)
    limiter.acquire()
    limiter.release(remaining=remaining)
    assert in_flight(limiter) == sent


@pytest.mark.parametrize("remaining", [None, "", "-1", "soon", "1.5", "500", "9" * 5000, "\u0663"])
def test_a_header_that_says_nothing_is_ignored(remaining: str | None) -> None:
    limiter = RateLimiter(pause=refuse_to_wait)
    limiter.acquire()
    limiter.release(remaining=remaining)
    assert in_flight(limiter) == 100


def test_all_under_way_count() -> None:
    now = [0.0]
    limiter = RateLimiter(clock=lambda: now[0], pause=refuse_to_wait)
    for _ in range(12):
        limiter.acquire()
        limiter.release()
    limiter.acquire()
    limiter.rejected(5.0)
    now[0] = 5.02
    assert in_flight(limiter) == 12
    limiter.release()  # the answer takes the request's place, for as long as the window
    now[0] = 5.02 + 4.99
    assert in_flight(limiter) == 0
    now[0] = 5.02 + 5.02
    assert in_flight(limiter) == 1


@pytest.mark.parametrize("window", ["fixed", "rolling"])
@pytest.mark.parametrize("tells", [False, True])
def test_many_at_once_against_a_real_server(*, window: str, tells: bool) -> None:
    behaviour = Behaviour(rate_limit=(12, 1.0), rate_window=window, rate_remaining_header=tells)
    with Sandbox(runs=500, seed=5, behaviour=behaviour) as sandbox:
        result = run_tap(sandbox, page_size=10, concurrency=8)
        assert result.code == 0, result.stderr
        assert result.ids == sandbox.runs.keys()
    accepted = sum(request.status == 200 for request in result.requests)
    refused = sum(request.status == 429 for request in result.requests)
    assert accepted + refused == len(result.requests)
    # Without learning, all eight would be refused in each of the windows.
    windows = accepted // 12
    assert windows >= 4
    assert refused < 4 * windows  # how the answers of eight threads fall in time is not the tap's alone


@pytest.mark.parametrize(("seconds", "lines"), [(1.0, 0), (4.0, 0), (5.0, 1), (300.0, 1), (3600.0, 1)])
def test_a_long_wait_is_said_once(caplog: pytest.LogCaptureFixture, seconds: float, lines: int) -> None:
    now = [0.0]

    def pause(wait: float) -> None:
        now[0] += wait

    limiter = RateLimiter(clock=lambda: now[0], pause=pause)
    limiter.acquire()
    limiter.rejected(seconds)
    with caplog.at_level("INFO"):
        limiter.acquire()
    assert now[0] >= seconds
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == lines
    assert all(f"Waiting {seconds:.0f} s" in line for line in said)
