"""Progress of a run: a live line on a terminal, elsewhere a line every half minute, and a summary at its end."""

from __future__ import annotations

import io
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import click

from tap_payments.output.live_line import LiveLine
from tap_payments.records.timestamps import describe

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Iterator

    from tap_payments.replication.reading import Chunk

# Seconds between two lines on the stream under way.
INTERVAL = 30.0
# Seconds between two states of the line on a terminal.
LIVE_INTERVAL = 0.5


@dataclass
class StreamProgress:
    """Counts of one stream.

    Attributes:
        records: Records read and sent, without those that are read again.
        reread: Older records that were read again and sent.
        requests: Requests sent, retries included.
        retries: Requests that were sent again.
        waited: Seconds that requests waited for the rate limit.
        nulled: Invalid values for which null was sent.
        sent: Records sent by each name, where stream maps filter, rename or copy them; None where they do not.
        reached: Unix second of the records sent last.
        total: The API's own count of the list's records; None where there is none.
        begun: When the stream began, on the monotonic clock.
    """

    records: int = 0
    reread: int = 0
    requests: int = 0
    retries: int = 0
    waited: float = 0.0
    nulled: int = 0
    sent: dict[str, int] | None = None
    reached: float | None = None
    total: int | None = None
    begun: float = field(default_factory=time.monotonic)
    ended: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def emitted(self) -> int:
        """Records sent, those that are read again included."""
        return self.records + self.reread

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

    def count(self, chunks: Iterable[Chunk], *, limit: int | None) -> Iterator[Chunk]:
        """Count chunks as emitted, each when the next one is asked for.

        Args:
            chunks: The chunks.
            limit: How many records to let pass; None is no limit.

        Yields:
            Each chunk, up to the limit.
        """
        for chunk in chunks:
            indexes = chunk.indexes if limit is None else chunk.indexes[: limit - self.emitted]
            if chunk.fetched is not None and chunk.fetched.outline.total is not None:
                self.total = chunk.fetched.outline.total
            yield replace(chunk, indexes=indexes)
            self.records += len(indexes) - chunk.reread
            self.reread += chunk.reread
            self.reached = self.reached if chunk.reached is None else chunk.reached
            if limit is not None and self.emitted >= limit:
                return

    def share(self) -> float | None:
        """Return the share done, from 0 to 1; None where no total is known: a span of time says little of the work."""
        return min(self.records / self.total, 1.0) if self.total else None

    def describe_reread(self) -> str:
        """Return the count of records read again, with a comma before it, or nothing where none were to be."""
        return f", {self.reread} re-read" if self.reread else ""

    def describe_nulled(self) -> str:
        """Return the count of values made null, with a comma behind it, or nothing where there are none."""
        return f"{count_of(self.nulled, 'invalid value')} made null, " if self.nulled else ""

    def describe_sent(self, stream: str) -> str:
        """Return the count of records sent by each name, and how many were read.

        Args:
            stream: Name of the stream, which is not repeated.
        """
        read = self.describe_reread()
        if self.sent is None:
            return count_of(self.records, "record") + read
        names = [
            count_of(count, "record") + ("" if name == stream else f" as {name}") for name, count in self.sent.items()
        ]
        return f"{', '.join(names) or '0 records'} ({self.records} read{read})"

    def describe_counts(self, stream: str = "") -> str:
        """Return the counts of records, requests and retries."""
        records = self.describe_sent(stream)
        return f"{records}, {count_of(self.requests, 'request')}, {count_of(self.retries, 'retry', 'retries')}"

    def describe(self, now: float, stream: str = "") -> str:
        """Return the counts, the date reached, and what is known of the end.

        Args:
            now: The time on the monotonic clock.
            stream: Name of the stream, which is not repeated.
        """
        parts = [self.describe_counts(stream)]
        if self.reached is not None:
            parts.append(f"reached {describe(self.reached)}")
        share = self.share()
        if share is not None:
            parts.append(f"{share:.0%} done")
            if share > 0:
                parts.append(f"about {describe_estimate((now - self.begun) * (1 - share) / share)} left")
        return ", ".join(parts)

    def describe_live(self, name: str) -> str:
        """Return a short line for a terminal, with a bar where the total is known.

        Args:
            name: The name of the stream.
        """
        reached = "" if self.reached is None else f", reached {describe(self.reached)[:10]}"
        text = f"{self.emitted:,} records{reached}"
        if not self.total:
            return f"{name}: {text}"
        # It writes to its file by itself, which must not be standard output.
        bar = click.progressbar(length=self.total, label=name, width=20, show_eta=False, file=io.StringIO())
        bar.make_step(min(self.records, self.total))
        return f"{bar.format_progress_line()}  {text}"


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
    return describe_span(round(seconds / 60) * 60 if seconds >= 60 else seconds)  # noqa: PLR2004 - a minute


class Progress:
    """Logs the progress of a run, whatever the run waits for."""

    def __init__(self, logger: logging.Logger) -> None:
        """Log nothing yet.

        Args:
            logger: Where the lines go.
        """
        self._logger = logger
        self._streams: defaultdict[str, StreamProgress] = defaultdict(StreamProgress)
        self._current: str | None = None
        self._ended = threading.Event()
        self._reporter: threading.Thread | None = None
        self._live: LiveLine | None = None

    def begin(self, stream: str) -> StreamProgress:
        """Return the counts of a stream, which is under way from now on."""
        self._current = stream
        counts = self._streams[stream] = StreamProgress()
        if self._reporter is None:
            self._live = LiveLine.open()
            self._reporter = threading.Thread(target=self._report, name="progress", daemon=True)
            self._reporter.start()
        return counts

    def end(self, stream: str) -> None:
        """Count a stream as read, or given up."""
        if self._current == stream:
            self._current = None
        self._streams[stream].ended = time.monotonic()

    def close(self) -> None:
        """Stop reporting."""
        self._ended.set()
        if self._live is not None:
            self._live.close()

    def summarize(self) -> None:
        """Log what the run did, in one line."""
        self.close()
        streams = [
            f"{name}: {counts.describe_counts(name)}, {counts.waited:.0f} s waited for the rate limit, "
            f"{counts.describe_nulled()}{describe_span((counts.ended or time.monotonic()) - counts.begun)} in all"
            for name, counts in self._streams.items()
        ]
        if streams:
            self._logger.info("Run complete. %s", "; ".join(streams))

    def _report(self) -> None:
        while not self._ended.wait(INTERVAL if self._live is None else LIVE_INTERVAL):
            stream = self._current
            if stream is None:
                continue
            counts = self._streams[stream]
            if self._live is None:
                self._logger.info("%s: %s", stream, counts.describe(time.monotonic(), stream))
            else:
                self._live.show(counts.describe_live(stream))
