"""How many examples a property is tried on."""

from __future__ import annotations

import os
from math import ceil

from hypothesis import HealthCheck, settings


def tried(count: float, variable: str = "", *, share: float = 1) -> settings:
    """Try a share of so many examples, the same at every run; by chance, and so many, where the variable is set."""
    asked = os.environ.get(variable)
    return settings(
        max_examples=ceil(int(asked or count) * share),
        derandomize=asked is None,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
