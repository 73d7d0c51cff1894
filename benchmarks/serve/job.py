"""What a client is told to do and what it found, as lines of JSON between two processes."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Of latencies: how many percent are at or below each.
PERCENTS = (50.0, 95.0, 99.0, 99.9)


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """Requests of one shape for some seconds.

    Attributes:
        port: of HTTP.
        bundle: path of the bundle that is asked, for the right answers.
        batch: rows of a request.
        time: frames of each row.
        seconds: how long new requests are sent.
        connections: how many may be open; each carries one request at a time.
        rate: requests per second that are sent whatever is answered (open loop, Poisson arrivals); 0 to send the next
            when the answer to the last is there (closed loop).
        patient: open loop: wait for a free connection, which counts as latency; else give the request up at once.
        seed: of the arrivals.
    """

    port: int
    bundle: str
    batch: int
    time: int
    seconds: float
    connections: int
    rate: float = 0.0
    patient: bool = True
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """Milliseconds by percentile; of no requests all are 0.

    Attributes:
        count: of how many requests.
        p50_ms: median.
        p95_ms: 95th percentile.
        p99_ms: 99th percentile.
        p999_ms: 99.9th percentile.
        max_ms: the longest.
    """

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of a job.

    Attributes:
        per_s: answers of status 200 in a second, of those that came while new requests were sent.
        refusals_per_s: answers of status 503 in a second, likewise.
        sent: requests that were sent.
        given_up: requests of an open loop for which no connection was free.
        lost: requests that were sent and got no answer.
        statuses: answers by status.
        answered: latency of status 200. In an open loop from the moment when the request should have been sent, so
            that a client that is held up hides nothing (no coordinated omission).
        refused: latency of status 503, likewise.
        sending: by how much requests were sent later than they should have been.
        checked: answers that were compared with a session's own.
        max_abs_diff: their largest difference.
        client_cpu: share of a core that the client used; near 1 it measures itself.
    """

    per_s: float
    refusals_per_s: float
    sent: int
    given_up: int
    lost: int
    statuses: dict[str, int] = field(default_factory=dict)
    answered: Latency
    refused: Latency
    sending: Latency
    checked: int
    max_abs_diff: float
    client_cpu: float
