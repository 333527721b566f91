"""The command line's door: every failure leaves by it as one line, the last one, with exit code 1."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import traceback
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from singer_sdk import Tap
from singer_sdk.exceptions import ConfigValidationError, MappingError
from singer_sdk.plugin_base import SingerCommand
from typing_extensions import override

from tap_payments.errors import RunError
from tap_payments.output.stdout import open_stdout

if TYPE_CHECKING:
    from collections.abc import Iterator


class PaymentsCommand(SingerCommand):
    """The tap's command line."""

    @override
    def invoke(self, ctx: click.Context) -> Any:
        logging.captureWarnings(capture=True)
        return click.Command.invoke(self, ctx)

    @override
    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            open_stdout()
            with _flushed():
                return super().main(*args, **kwargs)
        except (RunError, ConfigValidationError) as error:
            message = str(error)
        except MappingError as error:
            message = f"setting `stream_maps` must hold maps that the SDK can read: {type(error).__name__}"
        except Exception as error:  # noqa: BLE001 - its text may hold anything, so only its kind and place are told
            message = f"internal error: {_place(error)}"
        finally:
            _end_signals()
        self.logger.error("%s", _one_line(message))
        _silence_stdout()
        sys.exit(1)


@contextmanager
def _flushed() -> Iterator[None]:
    """Let what is left to be written fail here, not in the interpreter's own end."""
    try:
        yield
    except SystemExit as end:
        if not end.code:
            sys.stdout.flush()
        raise


def _one_line(message: str) -> str:
    """Keep what an API put into a key or the name of a field from looking like more lines."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in message)


def _place(error: Exception) -> str:
    """Return the kind of an error and the line of ours that it came up in, and nothing of its text."""
    place = "an unknown place"
    for frame in traceback.extract_tb(error.__traceback__):
        if Path(frame.filename).parent == Path(__file__).parent:
            place = f"{Path(frame.filename).name}:{frame.lineno}"
    return f"{type(error).__name__} in {place}"


def _end_signals() -> None:
    """Let no signal that comes after the last line change how the run ended."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if isinstance(getattr(signal.getsignal(number), "__self__", None), Tap):
                signal.signal(number, signal.SIG_IGN)


def _silence_stdout() -> None:
    """Keep the interpreter from complaining at its end of a pipe that nobody reads."""
    with suppress(OSError, ValueError, AttributeError, RunError):
        sys.stdout.flush()
        return
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
