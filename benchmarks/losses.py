"""Count the records that each reader loses where the API behaves as it really does: `python -m benchmarks.losses`.

Each reader is told what its documentation lets it be told of the API: the URL, the credentials, the name of the page
size's parameter. What it writes is held against what the API had from beginning to end.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.contenders import MAKERS, ROOT, Contender, Job, tap_command
from benchmarks.environments import InstallError
from tests.fake_api import FakeAPI, make_account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fake_api.log import LoggedRequest

CHARGES = 2003
DELETED = 10
KEY = re.compile(rb'"charge_id": ?"([^"]+)"')
PEERS = ("dlt", "airbyte", "template")


@dataclass(frozen=True)
class Habit:
    """One way in which an API behaves.

    Attributes:
        title: What it does.
        api: Options of the fake API, which is ChargeDesk's.
        limit_param: The page size's parameter that the readers are told.
        moves: Whether records are deleted while the list is read.
        charges: How many it has.
    """

    title: str
    api: dict[str, Any] = field(default_factory=dict)
    limit_param: str = "count"
    moves: bool = False
    charges: int = CHARGES


HABITS = (
    Habit("serves at most 100 records a page", {"page_cap": 100}),
    Habit("ignores `limit`, and serves 20 records a page", limit_param="limit"),
    Habit("answers no offset above 50,000, and has 51,203 records", charges=51_203),
    Habit(f"deletes {DELETED} records above while the list is read", moves=True),
)


def readers() -> Iterator[Contender]:
    """Yield the tap, with either provider, and its peers that can be installed."""
    yield Contender("generic", "tap-payments", lambda job: tap_command(job, limit_param=job.limit_param))
    yield Contender(
        "chargedesk", "tap-payments, `provider: chargedesk`", lambda job: tap_command(job, provider="chargedesk")
    )
    for name in PEERS:
        try:
            yield MAKERS[name]()
        except InstallError as error:
            sys.stderr.write(f"{name} is left out: {error}\n")


def lost(reader: Contender, habit: Habit) -> str:
    """Run a reader over a list and return what it misses."""
    account = make_account(charges=habit.charges, seed=1)
    with FakeAPI(account, provider="chargedesk", **habit.api) as api, tempfile.TemporaryDirectory() as folder:
        stood = set(api.account.keys("charges"))
        if habit.moves:
            api.before_each(deletes_once(stood))
        job = Job(api.url, Path(folder), count=True, limit_param=habit.limit_param)
        done = subprocess.run(
            reader.command(job),
            capture_output=True,
            env={**os.environ, **reader.env},
            cwd=ROOT,
            check=False,
            timeout=600,
        )
    missing = stood - {key.decode() for key in KEY.findall(done.stdout)}
    if done.returncode:
        return "fails, and says so"
    return f"**loses {len(missing)} of {len(stood)}**, exit 0" if missing else "loses none"


def deletes_once(stood: set[str]) -> Callable[[FakeAPI, LoggedRequest, dict[str, str]], None]:
    """Make what deletes the newest records when the second page is asked for."""
    asked = []

    def delete(api: FakeAPI, request: LoggedRequest, params: dict[str, str]) -> None:
        asked.append(request)
        if len(asked) == 2:
            for key in api.account.keys("charges")[:DELETED]:
                api.account.delete("charges", key)
                stood.discard(key)

    return delete


def main() -> int:
    """Print the table."""
    contenders = list(readers())
    lines = ["| the API | " + " | ".join(contender.title for contender in contenders) + " |"]
    lines.append("| --- |" + " --- |" * len(contenders))
    lines += [f"| {habit.title} | " + " | ".join(lost(one, habit) for one in contenders) + " |" for habit in HABITS]
    print("\n".join(lines))  # noqa: T201 - what was asked for
    return 0


if __name__ == "__main__":
    sys.exit(main())
