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
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

from tests.fake_api import Chaos, FakeAPI, make_account
from tests.fake_api.chaos import TRANSIENT
from tests.fake_api.data import tie
from tests.fake_api.faults import Body, Drip, Hang
from tests.fake_api.providers import STREAMS
from tests.support.states import records_of
from tests.support.tap_runs import TapRun, bookmark_in, catalog_with, start_tap, tap_config
from tests.support.waiting import SOON

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.tap_runs import TapProcess

JSON = dict[str, Any]

TIMEOUT = 1.5
"""The tap's `request_timeout` in seconds, where a fault is past it."""

KINDS = (
    *TRANSIENT,
    Body(b"<html>Bad gateway</html>", "text/html", kind="Body of HTML"),
    Body(b"", kind="Body of nothing"),
    Body(b'{"data":[],"total_count":100000}', kind="Empty page beside a total"),
    Body(b'{"data":[],"has_more":true}', kind="Empty page of which there is more"),
    Body(b'{"data":[],"error":{"message":"shard 3 timed out"}}', kind="Empty page beside an error"),
    Hang(0.05, kind="Hang, short"),
    Drip(0.05),
)
SLOW = (Hang(TIMEOUT + 0.4, kind="Hang past the timeout"),)
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
MAX_RUNS = 5
# Streams whose records show the time that ChargeDesk's API filters by.
SHOWING = {"charges", "customers"}


@dataclass
class Plan:
    """The run that a seed describes."""

    seed: int
    rng: Random = field(init=False)
    provider: str = field(init=False)
    streams: dict[str, int] = field(init=False)
    incremental: bool = field(init=False)
    batch: bool = field(init=False)
    moves: float = field(init=False)
    rate: float = field(init=False)
    merciful: bool = field(init=False)
    kill: signal.Signals | None = field(init=False)
    kills: int = field(init=False)
    kill_after: int = field(init=False)
    kill_delay: float = field(init=False)
    settings: JSON = field(init=False)
    api: JSON = field(init=False)
    false_total: int | None = field(init=False)
    owes: bool = field(init=False)

    def __post_init__(self) -> None:
        rng = self.rng = Random(self.seed)
        self.provider = rng.choice(("generic", "chargedesk"))
        names = rng.sample(list(STREAMS), rng.randint(1, 2))
        self.streams = {name: rng.choice((1, 7, 30, 60, 60, 90, 120)) for name in names}
        self.incremental = rng.random() < 0.5
        self.batch = rng.random() < 0.2
        overlap = rng.choice((1, 1, 2, 3)) if self.provider == "chargedesk" else rng.choice((0, 0, 1, 2))
        size = rng.choice((overlap + 1, overlap + 4, 10, 25, 100))
        self.moves = rng.choice((0.0, 0.2, 0.5)) if overlap else 0.0
        self.rate = rng.choice((0.1, 0.3, 0.3, 0.5))
        # Without mercy the same request may meet more faults than it has tries, and the run must fail well.
        self.merciful = rng.random() < 0.8
        if not self.merciful:
            self.rate = 0.6
        # One in three is to be killed; some have ended before, so that it is one in four.
        self.kill = rng.choice(SIGNALS) if self.seed % 3 == 0 else None
        self.kill_after, self.kill_delay = rng.randint(1, 6), rng.random() * 0.05
        self.settings = {
            "page_size": max(size, overlap + 1),
            "page_overlap": overlap,
            "concurrency": rng.choice((1, 1, 2, 4, 8)),
            "lookback_days": rng.choice((0, 1, 30)),
            "start_date": rng.choice((None, None, "2021-06-01")) if self.incremental else None,
        }
        self.api = {
            "total_count": rng.random() < 0.3,
            "page_cap": rng.choice((None, None, overlap + 3)),
        }
        # A list that moves as fast as pages advance may rightly fail the run.
        self.moves *= min(1.0, (min(self.settings["page_size"], self.api["page_cap"] or inf) - overlap) / 5)
        # A total that is too small on every page with records, which must end no list.
        self.false_total = rng.choice((None, None, None, 0, 1, 10))
        # With the smallest one, a run a second later reads all again.
        self.settings["reread_days"] = rng.choice((0, 30, 0.00001))
        self.kills = rng.choice((1, 1, 2, 3)) if self.kill else 0
        self.owes = self.incremental and rng.random() < 0.4

    @property
    def since(self) -> int:
        """The Unix second before which nothing is asked for."""
        return 1_622_505_600 if self.settings["start_date"] else 0


@dataclass
class Figures:
    """Totals of the runs."""

    runs: int = 0
    killed: int = 0
    failed: int = 0
    expected: int = 0
    sent: int = 0
    twice: int = 0
    lost: int = 0
    states: int = 0
    owed: int = 0
    moved: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, other: Figures) -> None:
        """Add up."""
        for name in ("runs", "killed", "failed", "expected", "sent", "twice", "lost", "states", "owed", "moved"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.faults += other.faults
        self.reasons += other.reasons

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.faults.items()))
        return (
            f"{self.faults.total()} faults thrown ({kinds}) in {self.runs} runs, of which {self.killed} were killed "
            f"and {self.failed} failed in one line; {self.moved} records moved; {self.states} bookmarks held, "
            f"{self.owed} with spans still owed; {self.expected} records expected, {self.lost} lost, "
            f"{self.twice} of {self.sent} sent twice"
        )


class Story:
    """The runs of one seed, and what is known of the lists that they read."""

    def __init__(self, seed: int) -> None:
        self.plan = plan = Plan(seed)
        account: dict[str, list[JSON]] = make_account(seed=seed, **cast(Any, plan.streams))
        for records in account.values():
            if len(records) > 4 and plan.rng.random() < 0.3:
                tie(records, plan.rng.randint(2, 4), first=plan.rng.randrange(len(records) - 4))
        self.api = FakeAPI(account, provider=plan.provider, **plan.api)
        kinds = KINDS
        if plan.rng.random() < 0.15:
            kinds += SLOW
            plan.settings["request_timeout"] = TIMEOUT
        self.chaos = Chaos(
            seed, plan.rate, kinds, max_in_a_row=3 if plan.merciful else None, moves=plan.moves, moved_at_once=3
        )
        self.api.chaos = self.chaos
        if plan.false_total is not None:
            self.api.rewrite = self._lie
        self.at_first = {name: self.api.account.records(name) for name in plan.streams}
        self.known = {
            name: {record[STREAMS[name].key]: record for record in records} for name, records in self.at_first.items()
        }
        self.sent: dict[str, dict[str, JSON]] = {name: {} for name in plan.streams}
        self.figures = Figures()

    def play(self) -> Figures:
        """Run until a run ends well, and hold each to its promise.

        Raises:
            AssertionError: If one does not keep it.
        """
        with self.api, TemporaryDirectory() as folder:
            state = self._owed_state() if self.plan.owes else None
            for number in range(MAX_RUNS):
                if number:
                    self.chaos.rate = 0.0
                if number == MAX_RUNS - 1:
                    self.chaos.moves = 0.0
                run, killed_by = self._run(state, Path(folder), kill=number < self.plan.kills)
                self.figures.runs += 1
                self._hold_messages(run)
                state = run.state or state
                if run.exit_code == 0:
                    self._hold_success(run)
                    break
                is_killed = self._hold_failure(run, killed_by)
                assert is_killed or not number, f"a run failed without faults: {run.stderr}"
        self.figures.faults = self.chaos.thrown
        self.figures.moved = sum(map(len, (*self.chaos.deleted.values(), *self.chaos.inserted.values())))
        return self.figures

    def _owed_state(self) -> JSON | None:
        """Return a STATE that owes spans, and count as sent what it says is out."""
        bookmarks = {}
        for stream in SHOWING & self.plan.streams.keys():
            time_field = STREAMS[stream].time
            times = sorted(int(record[time_field]) for record in self.at_first[stream])
            first, second, third = sorted(self.plan.rng.choices(times, k=3))
            part = {"replication_key": time_field, "newest": times[-1], "unread": [[second, third], [None, first]]}
            bookmarks[stream] = part
            for key, record in self.known[stream].items():
                if not _owes(part, int(record[time_field])):
                    self.sent[stream][key] = record
        return {"bookmarks": bookmarks} if bookmarks else None

    def _lie(self, body: JSON, _params: dict[str, str]) -> JSON:
        return body | {"total_count": min(self.plan.false_total or 0, len(body["data"]))}

    # A run.

    def _run(self, state: JSON | None, folder: Path, *, kill: bool) -> tuple[TapRun, signal.Signals | None]:
        plan = self.plan
        settings = dict(plan.settings)
        if plan.batch:
            settings["batch_config"] = {
                "encoding": {"format": "jsonl", "compression": "gzip"},
                "storage": {"root": folder.as_uri()},
                "batch_size": 7,
            }
        catalog = catalog_with(only=plan.streams, incremental=plan.streams if plan.incremental else ())
        before = len(self.api.requests)
        # With an environment of its own a run is started from scratch, as a user does: the one that is to be killed.
        env = {"TAP_PAYMENTS_LOGLEVEL": "INFO"} if kill and plan.kill else None
        process = start_tap(tap_config(self.api, **settings), catalog=catalog, state=state, env=env)
        killed_by = self._kill(process, before) if kill and plan.kill else None
        return process.finish(3 * SOON), killed_by

    def _kill(self, process: TapProcess, before: int) -> signal.Signals | None:
        plan = self.plan
        deadline = time.monotonic() + SOON
        while len(self.api.requests) - before < plan.kill_after:
            if not process.running or time.monotonic() > deadline:
                return None
            time.sleep(0.003)
        time.sleep(plan.kill_delay)
        if not process.running or plan.kill is None:
            return None
        process.send(plan.kill)
        return plan.kill

    # What must hold.

    def _stood_still(self, stream: str) -> dict[str, JSON]:
        """Return the records that were there from first to last, and that are asked for."""
        key, time_field = STREAMS[stream].key, STREAMS[stream].time
        deleted = set(self.chaos.deleted[stream])
        windowed = self.plan.incremental and stream != "products"
        return {
            record[key]: record
            for record in self.at_first[stream]
            if record[key] not in deleted and (not windowed or int(record[time_field]) >= self.plan.since)
        }

    def _hold_messages(self, run: TapRun) -> None:
        """Assert that whatever was written is right, and that every STATE is true at its place."""
        this_run: dict[str, Counter[str]] = {name: Counter() for name in self.plan.streams}
        for message in run.messages:
            if message["type"] == "STATE":
                self._hold_state(message["value"])
            for record in records_of(message):
                stream = message["stream"]
                key = record[STREAMS[stream].key]
                self._hold_record(stream, key, record)
                self.sent[stream][key] = record
                this_run[stream][key] += 1
        self.figures.sent += sum(counts.total() for counts in this_run.values())
        self.figures.twice += sum(counts.total() - len(counts) for counts in this_run.values())
        self.in_this_run = this_run

    def _hold_record(self, stream: str, key: str, record: JSON) -> None:
        known = self.known[stream]
        if key in known:
            assert record == known[key], f"{stream}: {key} went out changed"
        else:
            assert key in self.chaos.inserted[stream], f"{stream}: {key} was never there"

    def _hold_state(self, state: JSON) -> None:
        for stream in self.plan.streams:
            bookmark = bookmark_in(state, stream)
            if bookmark is None:
                continue
            assert self.plan.incremental, "a list that is read whole has no bookmark"
            self.figures.states += 1
            time_field = STREAMS[stream].time
            missing = [
                key
                for key, record in self._stood_still(stream).items()
                if int(record[time_field]) <= int(bookmark) and key not in self.sent[stream]
            ]
            assert not missing, f"{stream}: STATE says {bookmark}, but these are not out: {missing}"
        for stream in SHOWING & self.plan.streams.keys() if self.plan.incremental else ():
            part, time_field = state.get("bookmarks", {}).get(stream) or {}, STREAMS[stream].time
            owed = [
                key
                for key, record in self._stood_still(stream).items()
                if not _owes(part, int(record[time_field])) and key not in self.sent[stream]
            ]
            assert not owed, f"{stream}: STATE owes {part.get('unread')}, but these are not out: {owed}"
            self.figures.owed += bool(part.get("unread"))

    def _hold_success(self, run: TapRun) -> None:
        run.expect_success()
        self._hold_whole(self.plan.streams)

    def _hold_whole(self, streams: Iterable[str]) -> None:
        """Assert that nothing is missing of streams that were read to their end."""
        for stream in streams:
            windowed = self.plan.incremental and stream != "products"
            expected = self._stood_still(stream).keys()
            # What an incremental run need not send again was sent by the one before.
            out = self.sent[stream].keys() if windowed else self.in_this_run[stream].keys()
            missing = expected - out
            self.figures.expected += len(expected)
            self.figures.lost += len(missing)
            assert not missing, f"{stream}: it was read to its end without {sorted(missing)}"

    def _hold_failure(self, run: TapRun, killed_by: signal.Signals | None) -> bool:
        """Assert that a run ended as it must; return whether it was killed."""
        assert "Traceback" not in run.stderr, run.stderr
        ends = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
        # Once all is out, Python takes its own handlers away before it ends.
        too_late = run.exit_code == -killed_by and run.logged("Run complete") if killed_by else False
        if killed_by is not None and (run.exit_code == ends[killed_by] or too_late):
            assert "internal error" not in run.stderr, run.stderr
            self.figures.killed += 1
            return True
        run.expect_failure()
        if run.failed:
            self._hold_whole(stream for stream in self.plan.streams if stream not in run.failed)
        self.figures.failed += 1
        self.figures.reasons[run.errors[0].split("| ", 3)[-1][:160]] += 1
        return False


def _owes(part: JSON, time: int) -> bool:
    """Whether a stream's part of a STATE says that a record of this time is not out."""
    if part.get("newest") is None or time > part["newest"]:
        return True
    return any((since is None or since <= time) and (until is None or time <= until) for since, until in part["unread"])


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
        print(seed, story.plan)  # noqa: T201 -- for whoever looks into a seed
        print(story.play(), story.figures.reasons or "")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
