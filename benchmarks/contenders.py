"""Who is measured, and how each is told to read the list."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import environments
from benchmarks.peers import airbyte

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parents[1]
PEERS = Path(__file__).parent / "peers"
USERNAME = "sk_test_sandbox"
NO_LIMIT = 1_000_000
DLT = "dlt[postgres]"
AIRBYTE = "airbyte-cdk"


@dataclass(frozen=True)
class Job:
    """One reading of the list.

    Attributes:
        url: Where the API is.
        folder: A folder of its own, empty.
        count: Whether what is read is to be written to standard output, to be counted.
        limit_param: What the API calls the size of a page.
    """

    url: str
    folder: Path
    count: bool = False
    limit_param: str = "limit"


@dataclass(frozen=True)
class Contender:
    """One way to read the list.

    Attributes:
        name: Its name on the command line.
        title: Its name in the table.
        command: Makes the command for a job.
        env: Variables it runs with.
        versions: The packages it is made of.
        provider: The dialect of the API that it reads.
        repeats: Whether it asks for some records more than once.
    """

    name: str
    title: str
    command: Callable[[Job], list[str]]
    env: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    provider: str = "generic"
    repeats: bool = False


def tap_command(job: Job, *, method: str = "FULL_TABLE", **settings: object) -> list[str]:
    """Return the command of this tap, with charges alone selected."""
    config = _write(
        job.folder / "config.json",
        {"base_url": job.url, "username": USERNAME, "requests_per_minute": NO_LIMIT, **settings},
    )
    catalog = _write(job.folder / "catalog.json", _charges_alone(method))
    return [str(environments.own_programs() / "tap-payments"), "--config", config, "--catalog", catalog]


def loop_command(job: Job) -> list[str]:
    """Return the command of the bare loop."""
    return [sys.executable, "-m", "benchmarks.peers.bare_loop", job.url]


def template_command(job: Job) -> list[str]:
    """Return the command of a tap as the SDK's template makes it."""
    config = _write(
        job.folder / "config.json", {"base_url": job.url, "username": USERNAME, "limit_param": job.limit_param}
    )
    return [sys.executable, "-m", "benchmarks.peers.template_tap", "--config", config]


def _tap(name: str, title: str, **settings: Any) -> Contender:
    # Pages may share a record.
    return Contender(name, title, lambda job: tap_command(job, **settings), repeats=True)


def _airbyte() -> Contender:
    programs = environments.environment("bench-airbyte", AIRBYTE)
    return Contender(
        "airbyte",
        "Airbyte's declarative engine",
        lambda job: airbyte.read_command(
            programs / "source-declarative-manifest", job.folder, job.url, job.limit_param
        ),
        versions=environments.versions(programs, "airbyte-cdk"),
    )


def _dlt() -> Contender:
    programs = environments.environment("bench-dlt", DLT)
    return Contender(
        "dlt",
        "dlt, `rest_api`, extract alone",
        lambda job: [
            *dlt_command(programs, "extract", job),
            *(["--show"] if job.count else []),
        ],
        env=DLT_ENV,
        versions=environments.versions(programs, "dlt"),
    )


DLT_ENV = {"RUNTIME__DLTHUB_TELEMETRY": "false"}


def dlt_command(programs: Path, what: str, job: Job) -> list[str]:
    """Return the command of dlt's source; its files go to the job's folder."""
    return [
        str(programs / "python"),
        str(PEERS / "dlt_charges.py"),
        what,
        job.url,
        str(job.folder),
        "--limit-param",
        job.limit_param,
    ]


MAKERS: dict[str, Callable[[], Contender]] = {
    "loop": lambda: Contender("loop", "bare loop (requests, msgspec)", loop_command),
    "tap": lambda: _tap("tap", "**tap-payments**"),
    "tap-8": lambda: _tap("tap-8", "**tap-payments**, `concurrency: 8`", concurrency=8),
    "dlt": _dlt,
    "template": lambda: Contender("template", "tap of the SDK's template", template_command),
    "airbyte": _airbyte,
}


def long_readers() -> list[Contender]:
    """Return the two ways in which this tap reads the longest list."""
    return [
        _tap("tap", "FULL_TABLE"),
        Contender(
            "tap-incremental",
            "INCREMENTAL, `provider: chargedesk`, from the beginning",
            lambda job: tap_command(job, method="INCREMENTAL", provider="chargedesk"),
            provider="chargedesk",
            # The bounds of its windows, and the record by which it sees that two pages fit together.
            repeats=True,
        ),
    ]


def _write(file: Path, content: Any) -> str:
    file.write_text(json.dumps(content), encoding="utf-8")
    return str(file)


def _charges_alone(method: str) -> dict[str, Any]:
    """Return a catalog in which charges alone are selected, with a replication method."""
    schemas = ROOT / "tap_payments" / "schemas"
    return {
        "streams": [
            {
                "tap_stream_id": file.stem,
                "stream": file.stem,
                "schema": json.loads(file.read_text(encoding="utf-8")),
                "metadata": [
                    {
                        "breadcrumb": [],
                        "metadata": {"selected": file.stem == "charges", "replication-method": method},
                    }
                ],
            }
            for file in sorted(schemas.glob("*.json"))
        ]
    }
