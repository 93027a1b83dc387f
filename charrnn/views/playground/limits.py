"""What a client may ask for, and how long it may take to ask."""

from dataclasses import dataclass

PORT = 8642
LONGEST = 20_000  # characters of a text to write
MOST_COLUMNS = 5
LONGEST_TEXT = 50_000  # characters of a text to read: a prime, or a text to judge


@dataclass(frozen=True)
class Limits:
    """The limits of a server; tests use smaller ones."""

    streams: int = 8  # texts written at once
    jobs: int = 64  # pieces of work that run or wait
    connections: int = 256
    body: int = 1 << 20  # bytes
    head_seconds: float = 10  # for the head of a request
    body_seconds: float = 20  # and for its body
    # For a client that does not read to make room for more.
    stalled_seconds: float = 30
    models: int = 4  # kept in memory
    weights: int = 1 << 30  # bytes of weights kept in memory
