"""The fake API as a process of its own, turned from one job to the next without being started again.

It is told what to serve by lines of JSON on its standard input, and replies to each with a line: the requests
since the line before, and their cost. One account is drawn; a shorter list is the newest part of it, and of a
list that has changed each hundredth record has another description.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from copy import copy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.fake_api.account import Account, Listing
from tests.fake_api.data import Drawing
from tests.fake_api.server import FakeAPI

if TYPE_CHECKING:
    from typing_extensions import Self

ROOT = Path(__file__).parents[1]
SECONDS_TO_END = 10
OCCURRED = re.compile(rb'"occurred":"?\d+"?')
CHANGED, RECORDS_PER_CHANGE = "changed in the meantime", 100


@dataclass(frozen=True)
class Tally:
    """Requests to the fake API.

    Attributes:
        requests: Requests for charges.
        records: Charges in the responses.
        others: Requests for anything else, and responses other than 200. Pending requests are not
            counted.
        max_in_flight: The most requests that were served at once.
        cpu: Seconds of processor time that it took.
    """

    requests: int
    records: int
    others: int
    max_in_flight: int
    cpu: float


class Drawn(Listing):
    """A list that shorter ones are made from."""

    def newest(self, charges: int, *, changed: bool, tied: bool, unclean: bool) -> Drawn:
        """Return the newest records as a list of their own.

        Args:
            charges: How many.
            changed: Whether each hundredth has changed.
            tied: Whether all are of one second.
            unclean: Whether they are as the API sends them.
        """
        part = copy(self)
        part.cut(charges)
        if tied:
            part.tie()
        if unclean:
            part.soil()
        for key in part.keys()[::RECORDS_PER_CHANGE] if changed else ():
            part.update(key, {"description": CHANGED})
        return part

    def tie(self) -> None:
        """Put all records on one second."""
        self._times = [1] * len(self)
        self._encoded = [OCCURRED.sub(b'"occurred":"1"', record) for record in self._encoded]

    def soil(self) -> None:
        """Add an undeclared field to each record, send a third with `metadata: []`, and let a tenth share a second."""
        for index, record in enumerate(self._encoded):
            fields = json.loads(record) | {"risk_score": 17}
            if index % 3 == 0:
                fields["metadata"] = []
            if index % 10 == 0 and index:
                self._times[index] = self._times[index - 1]
                fields["occurred"] = json.loads(self._encoded[index - 1])["occurred"]
            self._encoded[index] = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()

    def cut(self, charges: int) -> None:
        """Leave out all but the newest records."""
        first = len(self) - charges
        self._times, self._keys, self._encoded = self._times[first:], self._keys[first:], self._encoded[first:]


class AccountServer:
    """The process, seen from outside.

    Args:
        charges: The length of the longest list to serve.
    """

    def __init__(self, charges: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.account", "--charges", str(charges)],
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

    def serve(  # noqa: PLR0913 - the form of the list, each choice by name
        self,
        charges: int,
        latency: float = 0.0,
        *,
        provider: str = "generic",
        changed: bool = False,
        tied: bool = False,
        unclean: bool = False,
    ) -> None:
        """Serve so many charges from now on, each page after so many seconds.

        Args:
            charges: The length of the list.
            latency: Seconds before each page.
            provider: The dialect of the API.
            changed: Whether each hundredth record has changed.
            tied: Whether all records are of one second.
            unclean: Whether records are as the API sends them, with an undeclared field and `[]` for an empty object.
        """
        order = {"charges": charges, "latency": latency, "provider": provider}
        self._ask(order | {"changed": changed, "tied": tied, "unclean": unclean})

    def tally(self) -> Tally:
        """Return what was asked for since the last call of either method."""
        return Tally(**self._ask({}))

    def _ask(self, order: dict[str, Any]) -> dict[str, int]:
        if self._process.stdin is None:
            raise RuntimeError("the fake API has no standard input")
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, int] = json.loads(self._read())
        return answer

    def _read(self) -> str:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            raise RuntimeError("the fake API has ended")
        return line


def main() -> int:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--charges", type=int, required=True)
    charges = parser.parse_args().charges
    # Drawn as an account of four lists, so that charges have customers and products to name.
    sizes = {"charges": charges, "products": charges // 120, "customers": charges // 6, "subscriptions": charges // 16}
    drawing = Drawing(sizes)
    account = Account()
    drawn = account.listings["charges"] = Drawn("charges", drawing.draw("charges"))
    with FakeAPI() as api:
        api.account = account
        print(json.dumps(api.url), flush=True)  # noqa: T201 - the first line is its URL
        used = time.process_time()
        for line in sys.stdin:
            order = json.loads(line)
            requests = api.requests_for("charges")
            tally = Tally(
                requests=len(requests),
                records=sum(request.records for request in requests),
                others=len(api.requests) - sum(request.status in {0, 200} for request in requests),
                max_in_flight=api.max_in_flight,
                cpu=time.process_time() - used,
            )
            if order:
                account.listings["charges"] = drawn.newest(
                    order["charges"], changed=order["changed"], tied=order["tied"], unclean=order["unclean"]
                )
                api.latency, api.provider = order["latency"], order["provider"]
            api.requests.clear()
            used = time.process_time()
            print(json.dumps(asdict(tally)), flush=True)  # noqa: T201 - the reply
    return 0


if __name__ == "__main__":
    sys.exit(main())
