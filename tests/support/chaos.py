"""Runs that follow each other under faults drawn from a seed: `python -m tests.support.chaos SEED ...`.

What must hold for every seed: a run ends well and every record that stood still is out with its right values, or it
ends otherwise, in one line, and every STATE that it wrote is true. The first run may resume from a STATE that owes
spans, and some runs are killed. A run that was killed or failed is followed by one that resumes from its last STATE,
without faults, and in the end nothing may be missing.
"""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field, fields
from math import inf
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tests.fake_api import Chaos, FakeAPI, make_account
from tests.fake_api.chaos import TRANSIENT
from tests.fake_api.data import tie
from tests.fake_api.faults import Body, Drip, Hang
from tests.fake_api.providers import STREAMS
from tests.support.states import batch_config, claims, part_of, records_of
from tests.support.tap_runs import TapRun, catalog_with, start_tap, tap_config
from tests.support.waiting import SOON, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.tap_runs import TapProcess

JSON = dict[str, Any]

TIMEOUT = 1.5
"""The tap's `request_timeout` in seconds, where a fault is past it."""

KINDS = (
    *TRANSIENT,
    *(Body(b"<html>Bad gateway</html>", "text/html"), Body(b"")),
    Body(b'{"data":[],"total_count":100000}'),
    Body(b'{"data":[],"has_more":true}'),
    Body(b'{"data":[],"error":{"message":"shard 3 timed out"}}'),
    *(Hang(0.05), Drip(0.05)),
)
SLOW = (Hang(TIMEOUT + 0.4),)
EXIT_CODES = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
MAX_RUNS = 5
# Streams whose records show the time that ChargeDesk's API filters by.
SHOWING = {"charges", "customers"}


@dataclass
class Figures:
    """Totals of the runs."""

    runs: int = 0
    killed: int = 0
    failed: int = 0
    lost: int = 0
    moved: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, other: Figures) -> None:
        """Add up."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.faults.items()))
        return (
            f"{self.faults.total()} faults thrown ({kinds}) in {self.runs} runs, of which {self.killed} were killed "
            f"and {self.failed} failed in one line; {self.moved} records moved, {self.lost} lost"
        )


class Story:
    """The runs of one seed, and what is known of the lists that they read."""

    def __init__(self, seed: int) -> None:
        rng = self.rng = Random(seed)
        provider = rng.choice(("generic", "chargedesk"))
        names = rng.sample(list(STREAMS), rng.randint(1, 2))
        sizes = {name: rng.choice((1, 7, 30, 60, 60, 90, 120)) for name in names}
        self.incremental = rng.random() < 0.5
        self.batch = rng.random() < 0.2
        overlap = rng.choice((1, 1, 2, 3)) if provider == "chargedesk" else rng.choice((0, 0, 1, 2))
        page_size = max(rng.choice((overlap + 1, overlap + 4, 10, 25, 100)), overlap + 1)
        page_cap = rng.choice((None, None, overlap + 3))
        # Without an overlap nothing shows that a list moves; as fast as pages advance it may rightly fail the run.
        moves = rng.choice((0.0, 0.2, 0.5)) if overlap else 0.0
        moves *= min(1.0, (min(page_size, page_cap or inf) - overlap) / 5)
        # Without mercy the same request may meet more faults than it has tries, and the run must fail well.
        merciful = rng.random() < 0.8
        rate = rng.choice((0.1, 0.3, 0.3, 0.5)) if merciful else 0.6
        # One in three is to be killed; some have ended before, so that it is one in four.
        self.kill = rng.choice(list(EXIT_CODES)) if seed % 3 == 0 else None
        self.kills = rng.choice((1, 1, 2, 3)) if self.kill else 0
        # A total that is too small on every page with records, which must end no list.
        false_total = rng.choice((None, None, None, 0, 1, 10))
        self.settings: JSON = {
            "page_size": page_size,
            "page_overlap": overlap,
            "concurrency": rng.choice((1, 1, 2, 4, 8)),
            "lookback_days": rng.choice((0, 1, 30)),
            "start_date": rng.choice((None, None, "2021-06-01")) if self.incremental else None,
            # With the smallest one, a run a second later reads all again.
            "reread_days": rng.choice((0, 30, 0.00001)),
        }
        # The Unix second before which nothing is asked for.
        self.since = 1_622_505_600 if self.settings["start_date"] else 0
        self.owes = self.incremental and rng.random() < 0.4
        is_slow = rng.random() < 0.15
        if is_slow:
            self.settings["request_timeout"] = TIMEOUT
        account = make_account(seed=seed, php=False, **sizes)
        for records in account.values():
            if len(records) > 4 and rng.random() < 0.3:
                tie(records, rng.randint(2, 4), first=rng.randrange(len(records) - 4))
        self.chaos = Chaos(
            seed, rate, (*KINDS, *SLOW) if is_slow else KINDS, max_in_a_row=3 if merciful else None, moves=moves
        )
        total_count = rng.random() < 0.3
        self.api = FakeAPI(account, provider=provider, total_count=total_count, page_cap=page_cap, chaos=self.chaos)
        if false_total is not None:
            self.api.rewrite = lambda body, _: body | {"total_count": min(false_total, len(body["data"]))}
        self.at_first = {name: {record[STREAMS[name].key]: record for record in account[name]} for name in names}
        self.sent: dict[str, set[str]] = {name: set() for name in names}
        self.figures = Figures()

    def play(self) -> Figures:
        """Run until a run ends well, and hold each to its promise.

        Raises:
            AssertionError: If one does not keep it.
        """
        with self.api, TemporaryDirectory() as folder:
            state = self._owed_state() if self.owes else None
            for number in range(MAX_RUNS):
                if number:
                    self.chaos.rate = 0.0
                if number == MAX_RUNS - 1:
                    self.chaos.moves = 0.0
                run, killed_by = self._run(state, Path(folder), self.kill if number < self.kills else None)
                self.figures.runs += 1
                self._hold_messages(run)
                state = run.state or state
                if run.exit_code == 0:
                    run.expect_success()
                    self._hold_whole(self.sent)
                    break
                is_killed = self._hold_failure(run, killed_by)
                assert is_killed or not number, f"a run failed without faults: {run.stderr}"
        self.figures.faults = self.chaos.thrown
        self.figures.moved = sum(map(len, (*self.chaos.deleted.values(), *self.chaos.inserted.values())))
        return self.figures

    def _owed_state(self) -> JSON | None:
        """Return a STATE that owes spans, and count as sent what it says is out."""
        bookmarks = {}
        for stream in SHOWING & self.sent.keys():
            times = {key: self._time(stream, record) for key, record in self.at_first[stream].items()}
            first, second, third = sorted(self.rng.choices(list(times.values()), k=3))
            unread = [[second, third], [None, first]]
            part = {"replication_key": STREAMS[stream].time, "newest": max(times.values()), "unread": unread}
            bookmarks[stream] = part
            self.sent[stream] = {key for key, time in times.items() if claims(part, time)}
        return {"bookmarks": bookmarks} if bookmarks else None

    def _run(
        self, state: JSON | None, folder: Path, kill: signal.Signals | None
    ) -> tuple[TapRun, signal.Signals | None]:
        settings = {**self.settings, **({"batch_config": batch_config(folder, 7, "gzip")} if self.batch else {})}
        catalog = catalog_with(only=self.sent, incremental=self.sent if self.incremental else ())
        before = len(self.api.requests)
        # With an environment of its own a run is started from scratch, as a user does: the one that is to be killed.
        env = {"TAP_PAYMENTS_LOGLEVEL": "INFO"} if kill else None
        process = start_tap(tap_config(self.api, **settings), catalog=catalog, state=state, env=env)
        killed_by = kill if kill and self._kill(process, kill, before + self.rng.randint(1, 6)) else None
        return process.finish(3 * SOON), killed_by

    def _kill(self, process: TapProcess, kill: signal.Signals, requests: int) -> bool:
        """Kill a run a moment after so many requests; return whether it was still there."""
        wait_until(lambda: not process.running or len(self.api.requests) >= requests)
        time.sleep(self.rng.random() * 0.05)
        is_running = process.running
        process.send(kill)
        return is_running

    # What must hold.

    def _time(self, stream: str, record: JSON) -> int:
        return int(record[STREAMS[stream].time])

    def _is_windowed(self, stream: str) -> bool:
        return self.incremental and stream != "products"

    def _stood_still(self, stream: str) -> dict[str, int]:
        """Return the times of the records that were there from first to last, and that are asked for, by key."""
        deleted, since = set(self.chaos.deleted[stream]), self.since if self._is_windowed(stream) else 0
        times = {key: self._time(stream, record) for key, record in self.at_first[stream].items()}
        return {key: time for key, time in times.items() if key not in deleted and time >= since}

    def _hold_messages(self, run: TapRun) -> None:
        """Assert that whatever was written is right, and that every STATE is true at its place."""
        self.in_this_run: dict[str, set[str]] = {name: set() for name in self.sent}
        for message in run.messages:
            if message["type"] == "STATE":
                self._hold_state(message["value"])
            for record in records_of(message):
                stream = message["stream"]
                key = record[STREAMS[stream].key]
                if key in self.at_first[stream]:
                    assert record == self.at_first[stream][key], f"{stream}: {key} went out changed"
                else:
                    assert key in self.chaos.inserted[stream], f"{stream}: {key} was never there"
                self.sent[stream].add(key)
                self.in_this_run[stream].add(key)

    def _hold_state(self, state: JSON) -> None:
        for stream, sent in self.sent.items():
            part = part_of(state, stream)
            bookmark = part.get("replication_key_value")
            assert bookmark is None or self.incremental, "a list that is read whole has no bookmark"
            missing = [
                key
                for key, time in self._stood_still(stream).items()
                if (time <= int(bookmark or -1) or (stream in SHOWING and claims(part, time))) and key not in sent
            ]
            assert not missing, f"{stream}: STATE says {part}, but these are not out: {missing}"

    def _hold_whole(self, streams: Iterable[str]) -> None:
        """Assert that nothing is missing of streams that were read to their end."""
        for stream in streams:
            # What an incremental run need not send again was sent by the one before.
            sent = (self.sent if self._is_windowed(stream) else self.in_this_run)[stream]
            missing = self._stood_still(stream).keys() - sent
            self.figures.lost += len(missing)
            assert not missing, f"{stream}: it was read to its end without {sorted(missing)}"

    def _hold_failure(self, run: TapRun, killed_by: signal.Signals | None) -> bool:
        """Assert that a run ended as it must; return whether it was killed."""
        assert "Traceback" not in run.stderr, run.stderr
        # Once all is out, Python takes its own handlers away before it ends.
        too_late = run.exit_code == -killed_by and run.logged("Run complete") if killed_by else False
        if killed_by is not None and (run.exit_code == EXIT_CODES[killed_by] or too_late):
            assert "internal error" not in run.stderr, run.stderr
            self.figures.killed += 1
            return True
        run.expect_failure()
        if run.failed:
            self._hold_whole(self.sent.keys() - run.failed)
        self.figures.failed += 1
        self.figures.reasons[run.errors[0].split("| ", 3)[-1][:160]] += 1
        return False


def play(seed: int) -> Figures:
    """Play one seed.

    Raises:
        AssertionError: If something does not hold.
    """
    return Story(seed).play()


def main() -> int:
    """Play the seeds of the command line."""
    for seed in map(int, sys.argv[1:]):
        story = Story(seed)
        print(seed, story.settings, story.api, story.chaos)  # noqa: T201 -- for whoever looks into a seed
        print(story.play(), story.figures.reasons or "")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
