"""Runs that die half-way."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psutil

from tests.support.meltano import end

if TYPE_CHECKING:
    from tests.fake_api.log import LoggedRequest
    from tests.fake_api.server import FakeAPI
    from tests.support.meltano import Project

SECONDS_TO_WAIT = 120


def kill_tap_after(project: Project, api: FakeAPI, stream: str, requests: int, *words: str) -> str:
    """Run Meltano, kill the tap (SIGKILL) at one of its requests for a list and return the output."""
    reached, gone = threading.Event(), threading.Event()
    seen = 0

    def watch(_: FakeAPI, request: LoggedRequest, __: dict[str, str]) -> None:
        nonlocal seen
        seen += request.stream == stream
        if seen == requests and not reached.is_set():
            reached.set()
            # This very answer does not reach the tap any more.
            gone.wait(SECONDS_TO_WAIT)

    api.before_each(watch)
    process = project.start(*words)
    try:
        assert reached.wait(SECONDS_TO_WAIT), "the tap did not come that far"
        taps = [
            child
            for child in psutil.Process(process.pid).children(recursive=True)
            if "bin/tap-payments" in " ".join(child.cmdline())
        ]
        assert taps, "there is no tap to kill"
        for tap in taps:
            tap.kill()
        gone.set()
        output, _ = process.communicate(timeout=SECONDS_TO_WAIT)
    finally:
        gone.set()
        end(process)
    assert process.returncode != 0, output
    return output
