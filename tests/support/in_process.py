"""Quick runs of the tap inside this process, exact numbers, and the form of a failure."""

from __future__ import annotations

import io
import json
import logging
import signal
import sys
import threading
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tap_payments.tap import TapPayments
from tests.fake_api import FakeAPI
from tests.fake_api.faults import Body
from tests.fake_api.providers import STREAMS
from tests.support.tap_runs import TapRun, catalog_with, tap_config, write_files

if TYPE_CHECKING:
    from collections.abc import Iterator

JSON = dict[str, Any]

BODY_MARKER = "Zz-a-customers-own-words-Zz"
"""Stands in bodies and values that no output may show."""

SECONDS_TO_END = 5


class Number(str):
    """A number as it was written."""

    __slots__ = ()


def read_exactly(text: str | bytes) -> Any:
    """Read JSON with every number as the text it was written as."""
    return json.loads(text, parse_int=Number, parse_float=Number)


def _digits(text: str) -> Any:
    # Python knows no negative zero among integers.
    return "number", Decimal("0" if text == "-0" else text).as_tuple()


def exactly(text: str | bytes) -> Any:
    """Read JSON with the digits of each number and the place of its point: all that `34.00` says more than `34`."""
    return json.loads(text, parse_int=_digits, parse_float=_digits)


@dataclass(frozen=True)
class InProcessRun(TapRun):
    """The outcome of a run inside this process, with its standard output byte by byte.

    Attributes:
        stdout: All that it wrote to standard output.
    """

    stdout: bytes = b""

    def exact_records(self, stream: str) -> list[JSON]:
        """Return the records of a stream with their numbers as text."""
        messages = [read_exactly(line) for line in self.stdout.splitlines()]
        return [one["record"] for one in messages if one["type"] == "RECORD" and one["stream"] == stream]


def _integer(text: str) -> int | str:
    """Read an integer; Python does not read those of thousands of digits."""
    return int(text) if len(text) < 4_000 else text


@contextmanager
def _own_streams() -> Iterator[tuple[io.BytesIO, io.StringIO]]:
    """Replace the standard streams, and restore what the command line changes."""
    stdout, stderr = io.BytesIO(), io.StringIO()
    root = logging.getLogger()
    kept = sys.stdout, sys.stderr, root.level, list(root.handlers), sys.excepthook
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    sys.stdout, sys.stderr = io.TextIOWrapper(stdout, encoding="utf-8"), stderr
    root.handlers = []
    try:
        yield stdout, stderr
    finally:
        sys.stdout, sys.stderr, root.level, root.handlers, sys.excepthook = kept
        logging.captureWarnings(capture=False)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def invoke_in_process(*arguments: str) -> InProcessRun:
    """Run the tap's command line inside this process: a twentieth of the time that a process of its own takes.

    A run that fails may leave threads that still ask for a page, and would end with a process of its own. Here they
    would go on into the next run, and take a response that is meant for it; so they are waited for.
    """
    before = set(threading.enumerate())
    exit_code: Any = 0
    with _own_streams() as (stdout, stderr), warnings.catch_warnings():
        try:
            TapPayments.cli.main(args=list(arguments), prog_name="tap-payments")
        except SystemExit as end:
            exit_code = end.code
        sys.stdout.flush()
        # Taken now: what those threads log while they are waited for, nobody would hear from a process.
        output, log = stdout.getvalue(), stderr.getvalue()
        for thread in threading.enumerate() if exit_code else ():
            if thread not in before and thread.name.startswith("page-"):
                thread.join(SECONDS_TO_END)
    lines = output.splitlines() if output.startswith(b'{"type"') else []
    messages = [json.loads(line, parse_int=_integer) for line in lines]
    return InProcessRun(int(exit_code or 0), messages, log, output)


def run_in_process(
    config: JSON, *arguments: str, catalog: JSON | None = None, state: JSON | None = None
) -> InProcessRun:
    """Run the tap inside this process, as `run_tap` does in one of its own."""
    with TemporaryDirectory() as folder:
        files = write_files(Path(folder), config=config, catalog=catalog, state=state)
        return invoke_in_process(*files, *arguments)


def read_stream(
    api: FakeAPI, stream: str = "charges", *, catalog: JSON | None = None, undeclared: bool = False, **settings: object
) -> InProcessRun:
    """Read one list of a fake API, with the fields that its schema does not declare or without, or by a catalog."""
    catalog = catalog or catalog_with(only=[stream], undeclared=undeclared)
    return run_in_process(tap_config(api, **settings), catalog=catalog)


def read_served_records(records: str, *, stream: str = "charges", **settings: Any) -> InProcessRun:
    """Read a list whose only page holds these records, given as the text between the brackets of `data`."""
    with FakeAPI() as api:
        api.faults.add(Body(f'{{"data":[{records}]}}'.encode("utf-8", "surrogatepass")), stream=stream)
        return read_stream(api, stream, **{"offset_param": "", **settings})


def read_served_field(name: str, value: str, *, stream: str = "charges", **settings: Any) -> InProcessRun:
    """Read a list whose only record, `key-1`, has a field with this value, given as JSON."""
    return read_served_records(f'{{"{STREAMS[stream].key}":"key-1","{name}":{value}}}', stream=stream, **settings)


def expect_one_error(run: TapRun, *words: str) -> None:
    """Assert that a run failed in one line, the last one, with these words, and without anything of the body."""
    run.expect_failure(*words)
    assert BODY_MARKER not in run.stderr
    if isinstance(run, InProcessRun):
        assert BODY_MARKER.encode() not in run.stdout
