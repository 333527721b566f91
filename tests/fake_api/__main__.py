"""Serve a made-up account until told to stop: `python -m tests.fake_api --charges 5000`."""

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

STOPPING = {signal.SIGTERM, signal.SIGINT}


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fake_api", description="A payments API on loopback.")
    parser.add_argument("--provider", choices=sorted(PROVIDERS), default="generic")
    parser.add_argument("--port", type=int, default=0, help="0 for any free port")
    for stream in STREAMS:
        parser.add_argument(f"--{stream}", type=int, default=0, metavar="N", help=f"how many {stream}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--username", default="sk_test_sandbox")
    parser.add_argument("--password", default="")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before every response")
    parser.add_argument("--page-cap", type=int, metavar="N", help="the most records on a page")
    parser.add_argument("--rate-limit", type=int, metavar="N", help="the most requests a minute")
    parser.add_argument("--total-count", action="store_true", help="let lists report their length")
    parser.add_argument("--url-file", type=Path, metavar="PATH", help="where to write the URL")
    parser.add_argument("--log-requests", type=Path, metavar="FILE", help="where to sum up the requests at the end")
    return parser.parse_args(argv)


def summary(api: FakeAPI) -> dict[str, object]:
    """Sum up the requests a fake API got."""
    streams = [stream for stream in STREAMS if api.requests_for(stream)]
    return {
        "requests": {stream: len(api.requests_for(stream)) for stream in streams},
        "records": {stream: sum(one.records for one in api.requests_for(stream)) for stream in streams},
        "statuses": Counter(str(request.status) for request in api.requests),
        "max_in_flight": api.max_in_flight,
    }


def publish(url: str, file: Path) -> None:
    """Write the URL to a file that is never seen half-written."""
    part = file.with_name(file.name + ".part")
    part.write_text(url + "\n", encoding="utf-8")
    part.replace(file)


def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    given = arguments()
    # PHP is what the one real provider is written in.
    php = given.provider == "chargedesk"
    sizes = {stream: getattr(given, stream) for stream in STREAMS}
    drawing = Drawing(**sizes, seed=given.seed, php=php)
    api = FakeAPI(
        {stream: drawing.draw(stream) for stream in STREAMS},
        provider=given.provider,
        username=given.username,
        password=given.password,
        latency=given.latency,
        page_cap=given.page_cap,
        rate_limit=given.rate_limit,
        total_count=given.total_count,
        port=given.port,
    )
    # Held back before any thread starts, so that none of them takes the signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    with api:
        if given.url_file:
            publish(api.url, given.url_file)
        print(api.url, flush=True)  # noqa: T201 -- the first line is its URL
        signal.sigwait(STOPPING)
    if given.log_requests:
        given.log_requests.write_text(json.dumps(summary(api), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
