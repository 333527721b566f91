"""`python -m tap_payments` is `tap-payments`."""

from __future__ import annotations

import gc
import os
import signal


def main() -> None:
    """Run the command line; a signal ends it quietly from the first moment on."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    # Imports take most of a short run; nothing is written yet, so that a signal may end it at once. What is imported
    # stays, so the garbage collector need not scan it, now or while pages are read.
    gc.disable()
    from tap_payments.tap import TapPayments  # noqa: PLC0415

    gc.freeze()
    gc.enable()
    TapPayments.cli()


def _end(number: int, _: object) -> None:
    os._exit(128 + number)


if __name__ == "__main__":
    main()
