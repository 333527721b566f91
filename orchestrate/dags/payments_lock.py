# ruff: noqa: INP001 -- a folder of DAGs is no package
"""Run a command that loads an account, unless that account is being loaded already.

    python payments_lock.py STATE_ID COMMAND [ARGUMENT ...]

Meltano refuses a state id that another run has in use, but it looks before it writes: of runs that begin at the same
moment several pass. And once its database has been away for a moment its heartbeat stops, so that five minutes later a
second run passes beside the first. So a lock is held here for as long as the command runs: a PostgreSQL advisory lock
in Meltano's system database, which the server releases when the connection ends, for whatever reason. Where Meltano
keeps its state in SQLite, on one machine, a locked file takes its place.

The command inherits the connection, so that the lock outlives this process where the command does. The command is
ended with SIGTERM, and with SIGKILL a minute later, when this process is told to end, when the connection is lost, or
when the process that started this one is gone. What the command leaves running ends before the lock is released.

The exit code is the command's, 128 + the number of the signal that ended it, or 75 if the account is being loaded
already. It needs the Python that Meltano is installed in.
"""

from __future__ import annotations

import fcntl
import math
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

DATABASE_VARIABLE = "MELTANO_DATABASE_URI"
# EX_TEMPFAIL of sysexits.h: try again later.
EXIT_HELD = 75
EXIT_FAILED = 1
POLL_SECONDS = 0.2
SECONDS_TO_END = 60
# A peer that answers no probe is gone after a minute, for the server and for this process alike.
KEEPALIVE = {"tcp_keepalives_idle": "30", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "3"}
CONNECTION: dict[str, Any] = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
    "connect_timeout": 10,
}
# Set where the server knows them: `idle_session_timeout` came with PostgreSQL 14.
SESSION = """
SELECT set_config(name, value, false)
FROM pg_settings JOIN unnest(%s::text[], %s::text[]) AS wanted (name, value) USING (name)
"""
TRY_LOCK = "SELECT pg_try_advisory_lock(%s)"
HOLDER = """
SELECT application_name, to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND (classid::bigint << 32 | objid::bigint) = %s
"""


class LockHeldError(Exception):
    """The account is being loaded already; the text says where and since when, if that is known."""


class LockError(Exception):
    """The lock cannot be had; the text says why."""


class Lock(Protocol):
    """A lock that the system or a server releases when the last process that has its descriptor open ends."""

    def fileno(self) -> int:
        """Return the descriptor."""
        ...

    def is_lost(self) -> bool:
        """Whether the lock is no longer held."""
        ...

    def close(self) -> None:
        """Release the lock."""
        ...


class PostgresLock:
    """A session-level advisory lock.

    Args:
        uri: SQLAlchemy's URL of the database. The connection must keep its session: PgBouncer's transaction pooling
            does not.
        state_id: What is locked.

    Raises:
        LockHeldError: If another session holds the lock.
        LockError: If the database cannot be reached.
    """

    def __init__(self, uri: str, state_id: str) -> None:
        try:
            import psycopg  # noqa: PLC0415 -- an extra of Meltano's, which SQLite does not need
        except ImportError as error:
            raise LockError("Install meltano[postgres], which has psycopg") from error
        self._error = psycopg.Error
        key = int.from_bytes(sha256(f"tap-payments {state_id}".encode()).digest()[:8], "big", signed=True)
        # SQLAlchemy names the driver, libpq does not know of any.
        address = re.sub(r"^postgres(ql)?(\+\w+)?:", "postgresql:", uri)
        name = f"payments {socket.gethostname()}"
        settings = {**KEEPALIVE, "idle_session_timeout": "0"}
        try:
            self._connection = psycopg.connect(address, autocommit=True, application_name=name, **CONNECTION)
            self._connection.execute(SESSION, [list(settings), list(settings.values())])
            if self._connection.execute(TRY_LOCK, [key]).fetchone() == (True,):
                return
            holder = self._connection.execute(HOLDER, [key]).fetchone()
        except psycopg.Error as error:
            raise LockError(f"Meltano's system database cannot be used: {error}") from error
        self._connection.close()
        known = f", by {holder[0]} since {holder[1]}" if holder else ""
        raise LockHeldError(f"{state_id} is being loaded already{known}")

    def fileno(self) -> int:
        """Return the descriptor of the connection."""
        return self._connection.fileno()

    def is_lost(self) -> bool:
        """Whether the connection is lost: without a request, only its end arrives."""
        if not select.select([self], [], [], 0)[0]:
            return False
        try:
            self._connection.execute("SELECT")
        except self._error:
            return True
        return False

    def close(self) -> None:
        """End the session."""
        self._connection.close()


class FileLock:
    """A locked file, for the processes of one machine.

    Args:
        folder: Where it is.
        state_id: What is locked.

    Raises:
        LockHeldError: If another process holds the lock.
    """

    def __init__(self, folder: Path, state_id: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / sha256(state_id.encode()).hexdigest()[:16]).open("ab")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise LockHeldError(f"{state_id} is being loaded already") from None

    def fileno(self) -> int:
        """Return the descriptor of the file."""
        return self._file.fileno()

    def is_lost(self) -> bool:
        """Return False: only who holds it can release it."""
        return False

    def close(self) -> None:
        """Close the file; it stays, as another process may have opened it."""
        self._file.close()


def take_lock(uri: str, state_id: str) -> Lock:
    """Return the lock of a state id in Meltano's system database.

    Raises:
        LockHeldError: If it is held.
        LockError: If it cannot be had.
    """
    if uri.startswith("postgres"):
        return PostgresLock(uri, state_id)
    if uri.startswith("sqlite"):
        return FileLock(Path(uri.partition("///")[2].partition("?")[0]).with_name("locks"), state_id)
    raise LockError(f"{DATABASE_VARIABLE} must name a PostgreSQL or SQLite database")


def database_uri() -> str:
    """Return the address of Meltano's system database."""
    if uri := os.environ.get(DATABASE_VARIABLE):
        return uri
    # Half a second of CPU, spent only where the project's files have to be asked.
    from meltano.core.project import Project  # type: ignore[import-not-found]  # noqa: PLC0415

    return str(Project.find().settings.get("database_uri"))


class Supervisor:
    """A command, and what may end it before its time.

    Args:
        command: The command and its arguments.
        lock: The lock under which it runs.
    """

    def __init__(self, command: Sequence[str], lock: Lock) -> None:
        self._command = command
        self._lock = lock
        self._parent = os.getppid()
        self._signals: list[int] = []

    def run(self) -> int:
        """Run the command to its end and return its exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _frame: self._signals.append(number))
        process = subprocess.Popen(  # noqa: S603 -- it is what this program is for
            self._command, start_new_session=True, pass_fds=[self._lock.fileno()]
        )
        try:
            self._watch(process)
        finally:
            # A Meltano that was killed leaves a tap and a target behind, which go on for seconds.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        return process.returncode if process.returncode >= 0 else 128 - process.returncode

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the end of the command, and end it where there is a reason to."""
        deadline = math.inf
        while process.poll() is None:
            if deadline == math.inf and (reason := self._reason_to_end()):
                report(f"Ending the load: {reason}")
                process.terminate()
                deadline = time.monotonic() + SECONDS_TO_END
            elif time.monotonic() > deadline:
                process.kill()
            time.sleep(POLL_SECONDS)

    def _reason_to_end(self) -> str:
        """Return why the command is to end, or nothing."""
        if self._signals:
            return f"{signal.Signals(self._signals[0]).name} received"
        if os.getppid() != self._parent:
            return "the process that started it is gone"
        if self._lock.is_lost():
            return "the connection that holds its lock is lost"
        return ""


def report(line: str) -> None:
    """Write a line to stdout, unless its reader has gone."""
    with suppress(OSError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def main(state_id: str, *command: str) -> int:
    """Run the command under the lock and return the exit code."""
    try:
        lock = take_lock(database_uri(), state_id)
    except LockHeldError as error:
        report(str(error))
        return EXIT_HELD
    except LockError as error:
        report(str(error))
        return EXIT_FAILED
    try:
        return Supervisor(command, lock).run()
    finally:
        lock.close()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
