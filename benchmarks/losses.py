"""Which readers lose records where the API behaves as it really does: `python -m benchmarks.losses`.

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
    from collections.abc import Callable, Sequence

    from tests.fake_api.log import LoggedRequest

CHARGES = 2003
DELETED = 10
KEY = re.compile(rb'"charge_id": ?"([^"]+)"')
READERS = ("tap", "dlt", "airbyte", "template")


@dataclass(frozen=True)
class Habit:
    """One way in which an API behaves.

    Attributes:
        title: What it does.
        api: How the fake API is made to do it.
        limit_param: What the readers are told of the size of a page.
        settings: What the tap is told beside URL and credentials.
        moves: Whether records are deleted while the list is read.
        charges: How many it has.
    """

    title: str
    api: dict[str, Any]
    limit_param: str = "limit"
    settings: dict[str, Any] = field(default_factory=dict)
    moves: bool = False
    charges: int = CHARGES


CHARGEDESK = {"provider": "chargedesk"}
HABITS = (
    Habit("serves at most 100 records a page", {"page_cap": 100}),
    Habit("ignores `limit`, and serves 20 records a page", CHARGEDESK, settings=CHARGEDESK),
    Habit(
        "answers no offset above 50,000, and has 51,203 records",
        CHARGEDESK,
        limit_param="count",
        settings=CHARGEDESK,
        charges=51_203,
    ),
    Habit(
        f"deletes {DELETED} records above while the list is read",
        CHARGEDESK,
        limit_param="count",
        settings=CHARGEDESK,
        moves=True,
    ),
)


def lost(contender: Contender, habit: Habit) -> str:
    """Run a reader over a list and return what it misses."""
    account = make_account(charges=habit.charges, seed=1)
    with FakeAPI(account, **habit.api) as api, tempfile.TemporaryDirectory() as folder:
        stood = set(api.account.keys("charges"))
        if habit.moves:
            api.before_each(deletes_once(stood))
        job = Job(api.url, Path(folder), count=True, limit_param=habit.limit_param)
        settings = habit.settings | {"requests_per_minute": 1_000_000}
        command = tap_command(job, **settings) if contender.name == "tap" else contender.command(job)
        done = subprocess.run(
            command, capture_output=True, env={**os.environ, **contender.env}, cwd=ROOT, check=False, timeout=600
        )
    missing = stood - {key.decode() for key in KEY.findall(done.stdout)}
    if done.returncode:
        return "fails, and says so"
    return f"**loses {len(missing)} of {len(stood)}**, exit 0" if missing else "none"


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


def table(contenders: Sequence[Contender]) -> str:
    """Make the table: what each reader loses to each habit."""
    lines = ["| the API | " + " | ".join(contender.title for contender in contenders) + " |"]
    lines.append("| --- |" + " --- |" * len(contenders))
    for habit in HABITS:
        cells = [lost(contender, habit) for contender in contenders]
        lines.append(f"| {habit.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Print the table."""
    contenders = []
    for name in READERS:
        try:
            contenders.append(MAKERS[name]())
        except InstallError as error:
            sys.stderr.write(f"{name} is left out: {error}\n")
    print(table(contenders))  # noqa: T201 - what was asked for
    return 0


if __name__ == "__main__":
    sys.exit(main())
