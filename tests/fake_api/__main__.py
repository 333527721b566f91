"""Serve a made-up account on loopback until Ctrl-C."""

from __future__ import annotations

import argparse
import signal

from tests.fake_api.data import Drawing
from tests.fake_api.providers import PROVIDERS, STREAMS
from tests.fake_api.server import FakeAPI

EXAMPLE = """\
It prints its URL and serves until Ctrl-C. For example, from the project's folder after `make setup`:

  .venv/bin/python -m tests.fake_api --charges 5000 --customers 800 --port 8080

and in another terminal:

  export TAP_PAYMENTS_BASE_URL=http://127.0.0.1:8080/v1/ TAP_PAYMENTS_USERNAME=sk_test_sandbox
  .venv/bin/tap-payments --config=ENV
"""
STOPPING = {signal.SIGTERM, signal.SIGINT}


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fake_api",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--provider", help="the API to imitate", choices=sorted(PROVIDERS), default="generic")
    parser.add_argument("--port", type=int, default=0, help="0 for any free port")
    for stream in STREAMS:
        parser.add_argument(f"--{stream}", type=int, default=0, metavar="N", help=f"number of {stream}")
    parser.add_argument("--seed", type=int, default=0, help="another number makes another account")
    parser.add_argument("--username", default="sk_test_sandbox")
    parser.add_argument("--password", default="")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each response")
    parser.add_argument("--page-cap", type=int, metavar="N", help="maximum records a page, whatever is requested")
    parser.add_argument("--rate-limit", type=int, metavar="N", help="maximum requests a minute; more are answered 429")
    parser.add_argument("--total-count", action="store_true", help="add `total_count` to lists")
    given = vars(parser.parse_args())
    # PHP is what the one real provider is written in.
    sizes = {stream: given.pop(stream) for stream in STREAMS}
    drawing = Drawing(sizes, seed=given.pop("seed"), php=given["provider"] == "chargedesk")
    api = FakeAPI({stream: drawing.draw(stream) for stream in STREAMS}, **given)
    # Held back before any thread starts, so that none of them takes the signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    with api:
        print(api.url, flush=True)  # noqa: T201 -- the first line is its URL
        signal.sigwait(STOPPING)


if __name__ == "__main__":
    main()
