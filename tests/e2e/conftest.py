"""Shared fixtures: one PostgreSQL, and Meltano projects that have a schema of their own in it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.meltano import Project
from tests.support.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fake_api.server import FakeAPI

    ProjectMaker = Callable[[str, FakeAPI], Project]


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """Yield a folder that anybody may enter, unlike pytest's own: a server that root starts runs as somebody else."""
    with tempfile.TemporaryDirectory(prefix="tap-payments-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="session")
def postgres(open_folder: Path) -> Iterator[Postgres]:
    """Yield a server for all tests."""
    with Postgres(open_folder / "postgres") as postgres:
        yield postgres


@pytest.fixture(scope="session")
def make_project(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> ProjectMaker:
    """Return a maker of projects that read a fake API into a schema."""

    def make(schema: str, api: FakeAPI) -> Project:
        return Project(
            tmp_path_factory.mktemp(schema),
            {
                "TAP_PAYMENTS_BASE_URL": api.url,
                "TAP_PAYMENTS_USERNAME": api.username,
                "TAP_PAYMENTS_PASSWORD": api.password,
                **postgres.target_settings,
                "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": schema,
            },
        )

    return make
