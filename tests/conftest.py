"""SIGTERM ends a run of the tests like Ctrl-C, so that fixtures end what they started."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import FrameType

# The SDK announces the end of its support for a Python version, which the taps that tests start would log.
WARNINGS = "ignore:Python 3:FutureWarning"


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    # It may come twice, from make and from what ends make's whole group; the second must not cut the first one short.
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def pytest_configure() -> None:
    """Tear fixtures down at SIGTERM."""
    os.environ.setdefault("PYTHONWARNINGS", WARNINGS)
    signal.signal(signal.SIGTERM, _interrupt)
