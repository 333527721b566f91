"""Shared fixtures: one PostgreSQL, and Meltano projects that have a schema of their own in it."""

from __future__ import annotations

import shutil
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
def postgres() -> Iterator[Postgres]:
    """Yield a server for all tests."""
    # Not pytest's own folder, which nobody else may enter, and the server is somebody else if root runs the tests.
    folder = Path(tempfile.mkdtemp(prefix="tap-payments-"))
    folder.chmod(0o755)
    try:
        with Postgres(folder / "postgres") as postgres:
            yield postgres
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
