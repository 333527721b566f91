"""The tap piped into the loader of `meltano.yml` without Meltano, which takes seconds to start."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tests.support.fork_server import TAP_PAYMENTS, ForkedProcess, Program
from tests.support.meltano import PLUGINS
from tests.support.tap_runs import environment, write_files
from tests.support.waiting import SOON
from tests.support.warehouse import Warehouse

if TYPE_CHECKING:
    from tests.support.postgres import Postgres

PROGRAMS = PLUGINS / "loaders" / "target-postgres" / "venv" / "bin"
LOADER = Program(
    str(PROGRAMS / "target-postgres-exact"), loads="target_postgres_exact", python=str(PROGRAMS / "python")
)


def pipe(
    config: dict[str, Any],
    postgres: Postgres,
    schema: str,
    *,
    catalog: dict[str, Any] | None = None,
    **loader_settings: object,
) -> tuple[str, Warehouse]:
    """Read an API into a schema, and assert that tap and loader end well.

    Args:
        config: The configuration of the tap.
        postgres: The server.
        schema: The schema for the tables.
        catalog: The catalog of the tap.
        loader_settings: Settings of the loader, over those of `meltano.yml`.

    Returns:
        The log of the tap, and the tables.
    """
    loader_config = {
        **{name.removeprefix("TARGET_POSTGRES_").lower(): value for name, value in postgres.target_settings.items()},
        "port": postgres.port,
        "default_target_schema": schema,
        "use_copy": True,
        "validate_records": False,
        **loader_settings,
    }
    with TemporaryDirectory() as place:
        tap, loader = Path(place, "tap"), Path(place, "loader")
        log = _run(tap, {"config": config, "catalog": catalog}, environment(), TAP_PAYMENTS)
        loader.mkdir()
        (tap / "stdout").rename(loader / "stdin")
        _run(loader, {"config": loader_config}, dict(os.environ), LOADER)
    return log, Warehouse(postgres, schema)


def _run(folder: Path, files: dict[str, Any], env: dict[str, str], program: Program) -> str:
    """Run a program with each file as the option of its name; return its log."""
    folder.mkdir(exist_ok=True)
    process = ForkedProcess(write_files(folder, **files), cwd=folder, env=env, program=program)
    try:
        exit_code = process.wait(2 * SOON)
    finally:
        process.kill()
    log = (folder / "stderr").read_text(encoding="utf-8")
    assert exit_code == 0, log
    return log
