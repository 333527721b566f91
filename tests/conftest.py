"""Every test run ends what it started, also when it is told to end: SIGTERM does the same as Ctrl-C."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, NoReturn

import pytest

from tests.support.guard import Guard

if TYPE_CHECKING:
    from types import FrameType

GUARD = pytest.StashKey[Guard]()


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def pytest_configure(config: pytest.Config) -> None:
    """Have fixtures torn down at SIGTERM, and what is left after them ended by a process of its own."""
    signal.signal(signal.SIGTERM, _interrupt)
    # The processes that share the tests belong to the one that started them.
    if not hasattr(config, "workerinput"):
        config.stash[GUARD] = Guard()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Wait until nothing is left."""
    guard = config.stash.get(GUARD, None)
    if guard is not None:
        guard.end()
