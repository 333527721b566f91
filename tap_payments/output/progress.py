"""Progress of a run: a line every half minute, and a summary at its end."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tap_payments.records.timestamps import describe

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Iterator

    from tap_payments.records.chunk import Chunk

# Seconds between two lines on the stream under way.
INTERVAL = 30.0


@dataclass
class StreamProgress:
    """Counts of one stream.

    Attributes:
        records: Records sent, without those that are read again.
        reread: Older records that were read again and sent.
        reread_windows: Windows of them that were read to their end.
        reread_share: Share of what the run reads again that is done; None while it reads what is new.
        reread_begun: When re-reading began, on the monotonic clock.
        requests: Requests sent, retries included.
        retries: Requests that were sent again.
        waited: Seconds that requests waited for the rate limit.
        nulled: Invalid values for which null was sent.
        reached: Unix second of the records sent last.
        span: Unix seconds at which an incremental run begins and ends; None where it has no such ends.
        total: The API's own count of the list's records; None where there is none.
        begun: When the stream began, on the monotonic clock.
    """

    records: int = 0
    reread: int = 0
    reread_windows: int = 0
    reread_share: float | None = None
    reread_begun: float = 0.0
    requests: int = 0
    retries: int = 0
    waited: float = 0.0
    nulled: int = 0
    reached: float | None = None
    span: tuple[float, float] | None = None
    total: int | None = None
    begun: float = field(default_factory=time.monotonic)
    ended: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

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
            places = chunk.places if limit is None else chunk.places[: limit - self.records - self.reread]
            self.total = self.total if chunk.total is None else chunk.total
            yield replace(chunk, places=places)
            if chunk.is_reread:
                self.reread += len(places)
            else:
                self.records += len(places)
            self.reached = self.reached if chunk.reached is None else chunk.reached
            if chunk.reread_share is not None:
                self._advance_rereading(chunk.reread_share)
            if limit is not None and self.records + self.reread >= limit:
                return

    def _advance_rereading(self, share: float) -> None:
        """Begin to read older records again, or count a window of them that was read to its end.

        Args:
            share: The share of what the run reads again that is done: 0 at the beginning.
        """
        if self.reread_share is None:
            self.reread_begun = time.monotonic()
        self.reread_share = share
        self.reread_windows += share > 0

    def share(self) -> float | None:
        """Return the share done, from 0 to 1; None where the end is not known."""
        if self.reread_share is not None:
            return self.reread_share
        if self.total:
            return min(self.records / self.total, 1.0)
        if self.span and self.reached is not None and self.span[1] > self.span[0]:
            begin, end = self.span
            return min(max((self.reached - begin) / (end - begin), 0.0), 1.0)
        return None

    def describe_reread(self) -> str:
        """Return the count of records read again, with a comma before it, or nothing where none were to be."""
        if not self.reread and not self.reread_windows:
            return ""
        windows = f" in {self.reread_windows} window{'' if self.reread_windows == 1 else 's'}"
        return f", {self.reread} re-read{windows if self.reread_windows else ''}"

    def describe_nulled(self) -> str:
        """Return the count of values made null, with a comma behind it, or nothing where there are none."""
        return f"{self.nulled} invalid value{'' if self.nulled == 1 else 's'} made null, " if self.nulled else ""

    def describe(self, now: float) -> str:
        """Write the counts, the date reached, and what is known of the end."""
        records = f"{self.records} records{self.describe_reread()}"
        parts = [records, f"{self.requests} requests", f"{self.retries} retries"]
        if self.reached is not None:
            parts.append(f"reached {describe(self.reached)}")
        share, begun = self.share(), self.begun if self.reread_share is None else self.reread_begun
        if share is not None:
            parts.append(f"{share:.0%} {'done' if self.reread_share is None else 're-read'}")
            if share > 0:
                parts.append(f"about {describe_span((now - begun) * (1 - share) / share)} left")
        return ", ".join(parts)


def describe_span(seconds: float) -> str:
    """Write a span of time for a person: `2 h 05 min`, `3 min`, `12 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min" if minutes else f"{rest} s"


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
        self._teller: threading.Thread | None = None

    def begin(self, stream: str) -> StreamProgress:
        """Return the counts of a stream, which is under way from now on."""
        self._current = stream
        counts = self._streams[stream] = StreamProgress()
        if self._teller is None:
            self._teller = threading.Thread(target=self._tell, name="progress", daemon=True)
            self._teller.start()
        return counts

    def end(self, stream: str) -> None:
        """Count a stream as read, or given up."""
        if self._current == stream:
            self._current = None
        self._streams[stream].ended = time.monotonic()

    def close(self) -> None:
        """Stop reporting."""
        self._ended.set()

    def summarize(self) -> None:
        """Log what the run did, in one line."""
        self.close()
        streams = [
            f"{name}: {counts.records} records{counts.describe_reread()}, {counts.requests} requests, "
            f"{counts.retries} retries, "
            f"{counts.waited:.0f} s waited for the rate limit, {counts.describe_nulled()}"
            f"{describe_span((counts.ended or time.monotonic()) - counts.begun)} in all"
            for name, counts in self._streams.items()
        ]
        if streams:
            self._logger.info("Run complete. %s", "; ".join(streams))

    def _tell(self) -> None:
        while not self._ended.wait(INTERVAL):
            stream = self._current
            if stream is not None:
                self._logger.info("%s: %s", stream, self._streams[stream].describe(time.monotonic()))
