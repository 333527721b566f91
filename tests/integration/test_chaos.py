"""Nothing is lost under random faults: many seeds, each a run or two of the tap; see `tests.support.chaos`."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.support.chaos import Figures, play
from tests.support.fork_server import preloaded
from tests.support.tap_runs import discovered_catalog

if TYPE_CHECKING:
    import pytest

FIRST, COUNT = int(os.environ.get("CHAOS_FIRST_SEED", "0")), int(os.environ.get("CHAOS_SEEDS", "80"))
SEEDS = range(FIRST, FIRST + COUNT)
AT_ONCE = 4


def _try(seed: int) -> Figures | str:
    try:
        return play(seed)
    except Exception as error:  # noqa: BLE001 - whatever it is, the seed is to be named
        return f"seed {seed}: {type(error).__name__}: {error}\n  again: python -m tests.support.chaos {seed}"


def test_every_seed_keeps_the_promise(capsys: pytest.CaptureFixture[str]) -> None:
    # Made once, before several threads ask for them.
    discovered_catalog()
    preloaded()
    total, broken = Figures(), []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for outcome in pool.map(_try, SEEDS):
            if isinstance(outcome, str):
                broken.append(outcome)
            else:
                total.add(outcome)
    with capsys.disabled():
        print(f"\nchaos, {len(SEEDS)} seeds: {total}")  # noqa: T201 -- the figures are to be quoted
        for reason, count in total.reasons.most_common():
            print(f"  {count} x {reason}")  # noqa: T201 -- the figures are to be quoted
    assert not broken, "\n".join(broken)
    assert total.lost == 0
    assert total.faults.total() > len(SEEDS)
    assert total.killed > len(SEEDS) // 10
