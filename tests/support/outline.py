from __future__ import annotations
from dataclasses import dataclass
from collections.abc import Sequence

@dataclass(frozen=True)
class Page:
    keys: Sequence[str]
    times: Sequence[float | None]
    total: int | None = None
    has_more: bool = False
