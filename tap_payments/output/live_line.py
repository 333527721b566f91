"""A line on a terminal that shows progress while it lasts, below the lines of the log."""

from __future__ import annotations

import io
import logging
import os
import sys
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, TextIO

from singer_sdk.logging import ConsoleFormatter
from typing_extensions import override

if TYPE_CHECKING:
    from typing_extensions import Self

ERASE_LINE = "\r\x1b[K"
# The width of a terminal that does not know it.
COLUMNS = 80


class _AboveLine(io.TextIOBase):
    """The terminal as a handler of the log sees it: what is written takes the place of the live line."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal

    @override
    def write(self, text: str) -> int:
        return self._terminal.write(ERASE_LINE + text)

    @override
    def flush(self) -> None:
        self._terminal.flush()

    @override
    def isatty(self) -> bool:
        return True


class LiveLine:
    """Shows a text on the last line of a terminal.

    The cursor stays at the beginning of the line, so that whatever else writes to the terminal, such as the target,
    begins there too.
    """

    def __init__(self, terminal: TextIO, handlers: list[logging.StreamHandler[TextIO]]) -> None:
        """Show nothing yet.

        Args:
            terminal: The terminal.
            handlers: The handlers of the log that write to it.
        """
        self._terminal = terminal
        self._handlers = handlers
        self._is_closed = False
        for handler in handlers:
            handler.setStream(_AboveLine(terminal))  # type: ignore[arg-type]  # all that a handler uses of a stream

    @classmethod
    def open(cls) -> Self | None:
        """Return a line on standard error; None where that is no terminal, or the log is written for machines."""
        terminal = sys.stderr
        if terminal is None or not terminal.isatty() or os.environ.get("TERM") == "dumb":
            return None
        handlers = [
            handler
            for handler in logging.getLogger().handlers
            if isinstance(handler, logging.StreamHandler) and handler.stream is terminal
        ]
        is_for_people = all(isinstance(handler.formatter, ConsoleFormatter) for handler in handlers)
        return cls(terminal, handlers) if is_for_people else None

    def show(self, text: str) -> None:
        """Show a text in place of the last one, as far as the terminal is wide.

        Args:
            text: One line.
        """
        columns = 0
        with suppress(OSError, ValueError):
            columns = os.get_terminal_size(self._terminal.fileno()).columns
        columns = columns or COLUMNS
        self._write(f"{ERASE_LINE}{text[: columns - 1]}\r")

    def close(self) -> None:
        """Remove the line, and leave the terminal to the log."""
        self._write(ERASE_LINE)
        self._is_closed = True
        for handler in self._handlers:
            handler.setStream(self._terminal)

    def _write(self, text: str) -> None:
        with ExitStack() as stack:
            for handler in self._handlers:
                # A line of the log that is being written is finished first.
                handler.acquire()
                stack.callback(handler.release)
            if not self._is_closed:
                with suppress(OSError, ValueError):
                    self._terminal.write(text)
                    self._terminal.flush()
