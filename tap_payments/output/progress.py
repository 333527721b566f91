"""Progress of a run: a bar on a terminal, elsewhere a line every half minute, and a summary at its end."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tap_payments.records.timestamps import describe

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Iterator
    from typing import NoReturn

    from tqdm import tqdm

    from tap_payments.replication.reading import Chunk

# Seconds between two lines on the stream under way.
INTERVAL = 30.0
MINUTE = 60


@dataclass
class StreamProgress:
    """Counts of one stream.

    Attributes:
        stream: Its name.
        emitted: Records read and handed on, those that are read again included.
        reread: Older records among them that were read again.
        sent: Records sent by each name, where stream maps filter, rename or copy them; None where they do not.
        requests: Requests sent, retries included.
        retries: Requests that were sent again.
        waited: Seconds that requests waited for the rate limit.
        nulled: Invalid values for which null was sent.
        reached: Unix second of the records sent last.
        total: The API's own count of the list's records; None where there is none.
        begun: When the stream began, on the monotonic clock.
        ended: When it ended; None while it is under way.
        bar: Shows the counts on a terminal.
    """

    stream: str
    emitted: int = 0
    reread: int = 0
    sent: dict[str, int] | None = None
    requests: int = 0
    retries: int = 0
    waited: float = 0.0
    nulled: int = 0
    reached: float | None = None
    total: int | None = None
    begun: float = field(default_factory=time.monotonic)
    ended: float | None = None
    bar: tqdm[NoReturn] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def sent_as(self, name: str) -> int:
        """Return how many records were sent by a name."""
        return self.emitted if self.sent is None else self.sent[name]

    def count_request(self, waited: float) -> None:
        """Count a request, and the seconds that it waited to be sent."""
        with self._lock:
            self.requests += 1
            self.waited += waited

    def count_retry(self) -> None:
        """Count a request that is sent again."""
        with self._lock:
            self.retries += 1

    def count(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """Yield chunks, and count each as emitted when the next one is requested."""
        for chunk in chunks:
            self.total = self.total if chunk.total is None else chunk.total
            yield chunk
            self.emitted += len(chunk.indexes)
            self.reread += chunk.reread
            self.reached = self.reached if chunk.reached is None else chunk.reached
            if self.bar is not None:
                self.bar.total = self.total
                self.bar.set_postfix_str("" if self.reached is None else describe(self.reached)[:10], refresh=False)
                self.bar.update(self.emitted - self.bar.n)

    def share(self) -> float | None:
        """Return the share done, from 0 to 1; None where no total is known: a span of time says little of the work."""
        return min((self.emitted - self.reread) / self.total, 1.0) if self.total else None

    def describe_counts(self) -> str:
        """Return the counts of records, requests and retries."""
        reread = f", {self.reread} of them re-read" if self.reread else ""
        if self.sent is None:
            parts = [count_of(self.emitted, "record") + reread]
        else:
            names = [
                count_of(count, "record") + ("" if name == self.stream else f" as {name}")
                for name, count in self.sent.items()
            ]
            parts = [f"{', '.join(names) or '0 records'} ({self.emitted} read{reread})"]
        parts += [count_of(self.requests, "request")] if self.requests else []
        parts += [count_of(self.retries, "retry", "retries")] if self.retries else []
        return ", ".join(parts)

    def describe(self, now: float) -> str:
        """Return a line on the stream under way: the counts, the date reached, and what is known of the end.

        Args:
            now: The time on the monotonic clock.
        """
        parts = [f"{self.stream}: {self.describe_counts()}"]
        if self.reached is not None:
            parts.append(f"reached {describe(self.reached)}")
        if (share := self.share()) is not None:
            parts.append(f"{share:.0%} done")
            if share > 0:
                parts.append(f"about {describe_estimate((now - self.begun) * (1 - share) / share)} left")
        return ", ".join(parts)

    def summarize(self) -> str:
        """Return a line on the whole stream."""
        parts = [f"{self.stream}: {self.describe_counts()}"]
        parts += [f"{count_of(self.nulled, 'invalid value')} made null"] if self.nulled else []
        parts += [f"{describe_span(self.waited)} waited for the rate limit"] if round(self.waited) else []
        seconds = (time.monotonic() if self.ended is None else self.ended) - self.begun
        parts += [f"{describe_span(seconds)} in all"] if round(seconds) else []
        return ", ".join(parts)


def count_of(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: `1 record`, `2 records`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def describe_span(seconds: float) -> str:
    """Return a span of time for a person: `2 h 05 min 07 s`, `1 min 43 s`, `12 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min" + (f" {rest:02} s" if rest else "")
    if minutes:
        return f"{minutes} min" + (f" {rest} s" if rest else "")
    return f"{rest} s"


def describe_estimate(seconds: float) -> str:
    """Return a span of time that is a guess: in whole minutes, where it is one or more."""
    return describe_span(round(seconds / MINUTE) * MINUTE if seconds >= MINUTE else seconds)


class Progress:
    """Shows the progress of a run, and logs its summary."""

    def __init__(self, logger: logging.Logger) -> None:
        """Show nothing yet.

        Args:
            logger: Where the lines go.
        """
        self._logger = logger
        self._streams: dict[str, StreamProgress] = {}
        self._current: StreamProgress | None = None
        self._ended = threading.Event()
        self._redirection = ExitStack()
        #: The streams that failed; None where the first failure ends the run.
        self.failed: list[str] | None = None

    def begin(self, stream: str) -> StreamProgress:
        """Return the counts of a stream, which is under way from now on."""
        is_first = not self._streams
        self._current = counts = self._streams[stream] = StreamProgress(stream)
        if sys.stderr is not None and sys.stderr.isatty():
            # Loaded where it is used alone: most runs have no terminal.
            from tqdm import tqdm  # noqa: PLC0415
            from tqdm.contrib.logging import logging_redirect_tqdm  # noqa: PLC0415

            if is_first:
                self._redirection.enter_context(logging_redirect_tqdm())
            counts.bar = tqdm(desc=stream, unit=" records", miniters=1, leave=False, dynamic_ncols=True)
        elif is_first:
            threading.Thread(target=self._report, name="progress", daemon=True).start()
        return counts

    def end(self, stream: str) -> None:
        """Count a stream as read, or given up."""
        counts = self._streams[stream]
        counts.ended = time.monotonic()
        if self._current is counts:
            self._current = None
        if counts.bar is not None:
            counts.bar.close()

    def close(self) -> None:
        """Stop reporting, and return the terminal to the log."""
        self._ended.set()
        self._redirection.close()

    def summarize(self) -> None:
        """Log what the run did, in one line a stream."""
        self.close()
        for name, counts in self._streams.items():
            if name not in (self.failed or ()):
                self._logger.info("Run complete. %s", counts.summarize())

    def _report(self) -> None:
        while not self._ended.wait(INTERVAL):
            if (counts := self._current) is not None:
                self._logger.info("%s", counts.describe(time.monotonic()))
