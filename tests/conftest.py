"""Shared set-up: SIGTERM ends a run like Ctrl-C, and every run ends the processes that it started."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, NoReturn

import pytest

from tests.support.guard import Guard

if TYPE_CHECKING:
    from types import FrameType

GUARD = pytest.StashKey[Guard]()
# The SDK announces the end of its support for a Python version, which the taps that tests start would log.
WARNINGS = "ignore:Python 3:FutureWarning"


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    # It may come twice, from make and from what ends make's whole group; the second must not cut the first one short.
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def pytest_configure(config: pytest.Config) -> None:
    """Tear fixtures down at SIGTERM, and start the guard that ends left-over processes."""
    os.environ.setdefault("PYTHONWARNINGS", WARNINGS)
    signal.signal(signal.SIGTERM, _interrupt)
    # The processes that share the tests belong to the one that started them.
    if not hasattr(config, "workerinput"):
        config.stash[GUARD] = Guard()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Wait until nothing is left."""
    guard = config.stash.get(GUARD, None)
    if guard is not None:
        guard.end()
