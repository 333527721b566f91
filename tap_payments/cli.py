"""Command-line entry point: one-line errors, signals, and exit codes."""

from __future__ import annotations

import atexit
import json
import logging
import os
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click
from singer_sdk.plugin_base import SingerCommand
from typing_extensions import override

from tap_payments.errors import RunError, StoppedError, describe_error
from tap_payments.output.writer import BufferedWriter, Stdout, open_stdout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from singer_sdk.helpers.types import TapState

    from tap_payments.context import SyncContext


# Seconds that a run has to end after a signal.
MAX_END = 2.0


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
            return super().main(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - every error is reported in one line
            message = describe_error(error)
        finally:
            StopSignals.ignore()
        self.logger.error("%s", message)
        sys.exit(1)


class StopSignals:
    """SIGINT and SIGTERM: the first stops a run where nothing is half done, later ones are ignored.

    Ctrl-C to `meltano run` sends both within milliseconds: SIGINT from the terminal, SIGTERM from Meltano.

    Attributes:
        stop: Set when the run is to stop.
        received: The number of the signal that stopped it; None where there was none.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.received: int | None = None

    def handle(self, number: int, _: FrameType | None = None) -> None:
        """Stop the run.

        Args:
            number: The number of the signal.
        """
        if self.received is not None:
            return
        self.received = number
        self.stop.set()
        if isinstance(stdout := getattr(sys.stdout, "buffer", None), Stdout):
            stdout.stop_waiting()
        # Whatever else the run may wait for, such as a log that is not read, is not waited for any longer.
        signal.signal(signal.SIGALRM, lambda *_: os._exit(128 + number))
        signal.setitimer(signal.ITIMER_REAL, MAX_END)
        # The interpreter's own end waits for nothing, but has no handlers any more: the alarm would kill it.
        atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)

    def install(self) -> None:
        """Handle the signals of this process from now on."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self.handle)

    @staticmethod
    def ignore() -> None:
        """Let no signal that comes after the last line change how a run ended."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if isinstance(getattr(signal.getsignal(number), "__self__", None), StopSignals):
                    signal.signal(number, signal.SIG_IGN)


@contextmanager
def graceful_end(
    signals: StopSignals, sync: SyncContext, writer: BufferedWriter, state: Callable[[], TapState]
) -> Iterator[None]:
    """Flush the output and write a last STATE however a sync ends.

    Args:
        signals: The signals that stop the sync.
        sync: The sync; from now on a stream that fails does not end it.
        writer: Writes the messages.
        state: Returns the state of the records that went out.

    Raises:
        SystemExit: If a signal ended the sync; the code is 128 and its number.
        RunError: If a stream failed.
    """
    signals.install()
    sync.failed = []
    try:
        yield
    except StoppedError:
        writer.end(state())
        # After the messages: who stops a run may read its log no longer.
        sync.logger.warning("Stopped by signal %s; the next run resumes from the last STATE", signals.received)
    except BaseException:
        # The error of the run is reported, not what happens to the messages before it.
        with suppress(RunError, StoppedError):
            writer.flush()
        raise
    else:
        sync.progress.summarize(skip=sync.failed)
    finally:
        sync.progress.close()
    if signals.received is not None:
        sys.exit(128 + signals.received)
    if sync.failed:
        raise RunError(f"streams that failed: {', '.join(sync.failed)}; the ERROR line of each says why")


def read_object(option: str, path: str, *, on_empty: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Read the JSON object in a file of the command line.

    Args:
        option: The option that names the file.
        path: The file; `-` is standard input.
        on_empty: Called with a message where the file is empty, which is read as no keys; None refuses it.

    Raises:
        RunError: If the file cannot be read, or holds anything else; the text is the reason, without its contents.
    """
    try:
        with click.open_file(path, "rb") as file:
            text = file.read()
        is_empty = not text.strip()
        if is_empty and on_empty is not None:
            on_empty(f"{option} {path} is empty, so streams begin at the beginning")
            return {}
        value: object = None if is_empty else json.loads(text)
        reason = "is empty" if is_empty else "does not hold a JSON object"
    except OSError as error:
        value, reason = None, f"cannot be read: {error.strerror}"
    except json.JSONDecodeError as error:
        value, reason = None, f"is not valid JSON: line {error.lineno}, column {error.colno}"
    except ValueError:
        value, reason = None, "is not valid JSON"
    except RecursionError:
        value, reason = None, "is nested too deeply"
    if not isinstance(value, dict):
        raise RunError(f"{option} {path} {reason}")
    return value
