"""Leaves this folder out of a run of all tests: it wants an Airflow, and minutes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignore what is here, unless it was asked for by name."""
    asked = (Path(config.invocation_params.dir, argument.split("::")[0]) for argument in config.args)
    return None if any(HERE in (path, *path.parents) for path in asked) else True
