"""The sandbox as a process of its own, turned from one job to the next without being started again.

It is told what to serve by lines of JSON on its standard input, and answers each with a line: what it was asked for
since the line before, and what that cost it. One account is drawn; a shorter list is the newest part of it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import override

from tests.sandbox.api import Account, Listing, Page, Window
from tests.sandbox.data import Drawing
from tests.sandbox.server import Sandbox

if TYPE_CHECKING:
    from typing_extensions import Self

ROOT = Path(__file__).parents[2]
SECONDS_TO_END = 10


@dataclass(frozen=True)
class Tally:
    """What the sandbox was asked for.

    Attributes:
        requests: Requests for charges.
        records: Charges in the answers.
        others: Requests for anything else, and answers other than 200. What was asked for ahead and is not
            answered yet is none of them.
        most_in_flight: The most requests that were served at once.
        cpu: Seconds of processor time that it took.
    """

    requests: int
    records: int
    others: int
    most_in_flight: int
    cpu: float


class Newest(Listing):
    """A list that may be cut to its newest records."""

    length: int | None = None

    @override
    def page(self, window: Window, offset: int, size: int, *, ascending: bool = False) -> Page:
        if self.length is not None:
            size = max(0, min(size, self.length - offset))
        return super().page(window, offset, size, ascending=ascending)


class AccountServer:
    """The process, seen from outside.

    Args:
        charges: The length of the longest list to serve.
    """

    def __init__(self, charges: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.account", "--charges", str(charges)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.url = json.loads(self._read())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def serve(self, charges: int, latency: float = 0.0) -> None:
        """Serve so many charges from now on, each page after so many seconds."""
        self._ask({"charges": charges, "latency": latency})

    def tally(self) -> Tally:
        """Give what was asked for since the last call of either method."""
        return Tally(**self._ask({}))

    def _ask(self, order: dict[str, float]) -> dict[str, int]:
        if self._process.stdin is None:
            raise RuntimeError("the sandbox has no ear")
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, int] = json.loads(self._read())
        return answer

    def _read(self) -> str:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            raise RuntimeError("the sandbox has ended")
        return line


def main() -> int:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--charges", type=int, required=True)
    charges = parser.parse_args().charges
    # Drawn as an account of four lists, so that charges have customers and products to name.
    drawing = Drawing(
        charges=charges, products=charges // 120, customers=charges // 6, subscriptions=charges // 16, seed=0
    )
    account = Account()
    listing = account.listings["charges"] = Newest("charges", drawing.draw("charges"))
    with Sandbox() as sandbox:
        sandbox.account = account
        print(json.dumps(sandbox.url), flush=True)  # noqa: T201 - the first line tells where it is
        used = time.process_time()
        for line in sys.stdin:
            order = json.loads(line)
            requests = sandbox.requests_for("charges")
            tally = Tally(
                requests=len(requests),
                records=sum(request.records for request in requests),
                others=len(sandbox.requests) - sum(request.status in {0, 200} for request in requests),
                most_in_flight=sandbox.most_in_flight,
                cpu=time.process_time() - used,
            )
            if order:
                listing.length, sandbox.latency = order["charges"], order["latency"]
            sandbox.requests.clear()
            used = time.process_time()
            print(json.dumps(asdict(tally)), flush=True)  # noqa: T201 - the answer
    return 0


if __name__ == "__main__":
    sys.exit(main())
