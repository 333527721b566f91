"""The least that reading the list can cost: fetch a page, decode it, encode its records as messages, write them."""

from __future__ import annotations

import argparse
import sys

import msgspec
import requests


def main() -> int:
    """Read the list to its end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--page-size", type=int, default=500)
    given = parser.parse_args()
    decode, encode_into = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode_into
    session, offset, lines = requests.Session(), 0, bytearray()
    session.auth = ("sk_test_sandbox", "")
    while True:
        params = {"limit": given.page_size, "offset": offset}
        answer = session.get(given.url + "charges", params=params, timeout=60)
        answer.raise_for_status()
        records = decode(answer.content)["data"]
        if not records:
            return 0
        for record in records:
            encode_into({"type": "RECORD", "stream": "charges", "record": record}, lines, -1)
            lines += b"\n"
        sys.stdout.buffer.write(lines)
        lines.clear()
        offset += len(records)


if __name__ == "__main__":
    sys.exit(main())
