"""Serve a made-up account on loopback until Ctrl-C."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections import Counter
from pathlib import Path

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


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
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
    parser.add_argument("--url-file", type=Path, metavar="PATH", help="file to write the URL to")
    parser.add_argument("--log-requests", type=Path, metavar="FILE", help="file to write a summary of requests to")
    return parser.parse_args(argv)


def summary(api: FakeAPI) -> dict[str, object]:
    """Return a summary of the requests that a fake API received."""
    streams = [stream for stream in STREAMS if api.requests_for(stream)]
    return {
        "requests": {stream: len(api.requests_for(stream)) for stream in streams},
        "records": {stream: sum(one.records for one in api.requests_for(stream)) for stream in streams},
        "statuses": Counter(str(request.status) for request in api.requests),
        "max_in_flight": api.max_in_flight,
    }


def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    given = arguments()
    # PHP is what the one real provider is written in.
    php = given.provider == "chargedesk"
    drawing = Drawing({stream: getattr(given, stream) for stream in STREAMS}, seed=given.seed, php=php)
    switches = ("provider", "username", "password", "latency", "page_cap", "rate_limit", "total_count", "port")
    api = FakeAPI(
        {stream: drawing.draw(stream) for stream in STREAMS}, **{name: getattr(given, name) for name in switches}
    )
    # Held back before any thread starts, so that none of them takes the signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    with api:
        if given.url_file:
            part: Path = given.url_file.with_suffix(".part")
            part.write_text(api.url + "\n", encoding="utf-8")
            part.replace(given.url_file)
        print(api.url, flush=True)  # noqa: T201 -- the first line is its URL
        signal.sigwait(STOPPING)
    if given.log_requests:
        given.log_requests.write_text(json.dumps(summary(api), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
