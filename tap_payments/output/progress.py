"""Progress of a run: a bar on a terminal, elsewhere a line every half minute, and a summary at its end."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tap_payments.timestamps import describe

if TYPE_CHECKING:
    import logging
    from collections.abc import Collection
    from typing import NoReturn

    from tqdm import tqdm

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

    def find_refusal(self, name: str, *, may_miss_records: bool) -> str | None:
        """Return why a target must delete nothing of what it has by a name; None where it may delete the rest.

        Args:
            name: The name that the records go by.
            may_miss_records: Whether a WARNING says that records may have been missed.
        """
        if not self.emitted:
            reason = "the list is empty (check `username` and `base_url` if the account has records)"
        elif may_miss_records:
            reason = "records may be missing, as the WARNING before says (delete them in the target yourself)"
        elif self.sent is not None and not self.sent[name]:
            reason = f"`stream_maps` pass none of {self.emitted} records (check its `__filter__`)"
        else:
            return None
        return f"{reason}, so no ACTIVATE_VERSION message goes out for `{name}` and the target deletes nothing"

    def count_request(self, waited: float) -> None:
        """Count a request, and the seconds that it waited to be sent; called from any thread."""
        with self._lock:
            self.requests += 1
            self.waited += waited

    def count_retry(self) -> None:
        """Count a request that is sent again."""
        self.retries += 1

    def count_records(self, emitted: int, reread: int, reached: float | None, total: int | None) -> None:
        """Count records that went out; None leaves a time or a total as it is."""
        self.emitted += emitted
        self.reread += reread
        self.reached = self.reached if reached is None else reached
        self.total = self.total if total is None else total
        if self.bar is not None:
            self.bar.total = self.total
            self.bar.set_postfix_str("" if self.reached is None else describe(self.reached)[:10], refresh=False)
            self.bar.update(self.emitted - self.bar.n)

    def end(self) -> None:
        """Count the stream as read, or given up."""
        self.ended = time.monotonic()
        if self.bar is not None:
            self.bar.close()

    def describe(self) -> str:
        """Return a line on the stream: its counts, and how far it is, or how long it took."""
        reread = f", {self.reread} of them re-read" if self.reread else ""
        records = count_of(self.emitted, "record") + reread
        if self.sent is not None:
            names = (
                count_of(count, "record") + ("" if name == self.stream else f" as {name}")
                for name, count in self.sent.items()
            )
            records = f"{', '.join(names) or '0 records'} ({self.emitted} read{reread})"
        parts = [f"{self.stream}: {records}"]
        if self.requests:
            parts.append(count_of(self.requests, "request"))
        if self.retries:
            parts.append(count_of(self.retries, "retry", "retries"))
        if self.nulled:
            parts.append(f"{count_of(self.nulled, 'invalid value')} made null")
        if round(self.waited):
            parts.append(f"{describe_span(self.waited)} waited for the rate limit")
        if self.ended is not None:
            seconds = self.ended - self.begun
            return ", ".join([*parts, f"{describe_span(seconds)} in all"] if round(seconds) else parts)
        if self.reached is not None:
            parts.append(f"reached {describe(self.reached)}")
        # Without a total nothing is known of the share: a span of time says little of the work.
        if self.total:
            parts.append(f"{min((self.emitted - self.reread) / self.total, 1):.0%} done")
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


class Progress:
    """Shows the progress of a run, and logs its summary."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._streams: list[StreamProgress] = []
        self._closed = threading.Event()
        self._redirection = ExitStack()

    def begin(self, stream: str) -> StreamProgress:
        """Return the counts of a stream, which is under way until they end."""
        counts = StreamProgress(stream)
        if sys.stderr is not None and sys.stderr.isatty():
            # Imported only here: most runs have no terminal.
            from tqdm import tqdm  # noqa: PLC0415
            from tqdm.contrib.logging import logging_redirect_tqdm  # noqa: PLC0415

            if not self._streams:
                self._redirection.enter_context(logging_redirect_tqdm())
            counts.bar = tqdm(desc=stream, unit=" records", miniters=1, leave=False, dynamic_ncols=True)
        elif not self._streams:
            threading.Thread(target=self._report, name="progress", daemon=True).start()
        self._streams.append(counts)
        return counts

    def close(self) -> None:
        """Stop reporting, and return the terminal to the log."""
        self._closed.set()
        self._redirection.close()

    def summarize(self, skip: Collection[str]) -> None:
        """Log what the run did, in one line a stream.

        Args:
            skip: Streams that have no line: those that failed.
        """
        self.close()
        for counts in self._streams:
            if counts.stream not in skip:
                self._logger.info("Run complete. %s", counts.describe())

    def _report(self) -> None:
        while not self._closed.wait(INTERVAL):
            for counts in self._streams:
                if counts.ended is None:
                    self._logger.info("%s", counts.describe())
