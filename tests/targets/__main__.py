"""Try the targets and write the table: `python -m tests.targets [NAME ...]`, all of them by default."""

from __future__ import annotations

import argparse
import sys
from dataclasses import astuple
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.environments import InstallError
from tests.support.postgres import Postgres
from tests.targets.declarations import TARGETS
from tests.targets.outcomes import judge
from tests.targets.stores import ObjectStore
from tests.targets.table import write
from tests.targets.trial import Experiment


def main() -> int:
    """Try, and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.targets", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which targets: {', '.join(TARGETS)}")
    names = parser.parse_args().names or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    with (
        TemporaryDirectory(prefix="tap-payments-") as made,
        Postgres(_open(made) / "postgres") as postgres,
        ObjectStore() as s3,
    ):
        left_out = []
        for name in names:
            try:
                outcome = judge(partial(Experiment, TARGETS[name], Path(made), postgres, s3))
            except InstallError as error:
                # Its row stays: that says nothing of the target.
                left_out.append(name)
                print(name, f"cannot be set up: {error}", file=sys.stderr)  # noqa: T201 -- likewise
            else:
                write(name, outcome)
                print(name, *astuple(outcome), sep=" | ", flush=True)  # noqa: T201 -- what was asked for
    return 1 if left_out else 0


def _open(folder: str) -> Path:
    """Let everybody into a folder: PostgreSQL is somebody else where root runs this."""
    Path(folder).chmod(0o755)
    return Path(folder)


if __name__ == "__main__":
    sys.exit(main())
