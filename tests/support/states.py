"""STATEs held against the records that are out."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import msgspec

from tests.fake_api.providers import PROVIDERS, STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tests.fake_api import FakeAPI
    from tests.support.tap_runs import TapRun

JSON = dict[str, Any]


def part_of(state: Mapping[str, Any] | None, stream: str = "charges") -> JSON:
    """Return what a STATE says of a stream."""
    part: JSON = ((state or {}).get("bookmarks") or {}).get(stream) or {}
    return part


def claims(part: Mapping[str, Any], time: float) -> bool:
    """Whether a stream's part of a STATE says that the records of a time are out."""
    if part.get("newest") is None or time > part["newest"]:
        return False
    return not any(
        (since is None or since <= time) and (until is None or time < until + 1) for since, until in part["unread"]
    )


def batch_config(folder: Path, size: int = 1000, compression: str = "none") -> JSON:
    """Return a `batch_config` that puts files of so many records into a folder."""
    return {
        "encoding": {"format": "jsonl", "compression": compression},
        "storage": {"root": folder.as_uri()},
        "batch_size": size,
    }


def batch_files(messages: Iterable[JSON]) -> list[Path]:
    """Return the files that BATCH messages name."""
    urls = [url for message in messages if message["type"] == "BATCH" for url in message["manifest"]]
    return [Path(unquote(urlsplit(url).path)) for url in urls]


def read_lines(file: Path) -> list[bytes]:
    """Return the lines of a file of a batch."""
    data = file.read_bytes()
    return (gzip.decompress(data) if file.suffix == ".gz" else data).splitlines()


def records_of(message: JSON) -> Iterator[JSON]:
    """Yield the records of a message: those of the files of a BATCH, too."""
    if message["type"] == "RECORD":
        yield message["record"]
    for file in batch_files([message]):
        yield from map(msgspec.json.decode, read_lines(file))


def sent_keys(messages: Iterable[JSON], stream: str = "charges") -> set[str]:
    """Return the keys of a stream's records, batches included; the messages are of this stream alone."""
    return {record[STREAMS[stream].key] for message in messages for record in records_of(message)}


def expect_true_states(run: TapRun, api: FakeAPI, stream: str = "charges", *, out: Iterable[str] = ()) -> set[str]:
    """Assert that all that any STATE speaks of is out before it; return the keys that are out at the last one.

    Args:
        run: A run of this stream alone.
        api: What it has read, unchanged since.
        stream: The stream.
        out: Keys that were out before the run.
    """
    field = PROVIDERS[api.provider].filters.get(stream, STREAMS[stream].time)
    times = {record[STREAMS[stream].key]: float(record[field]) for record in api.account.records(stream)}
    sent, kept = set(out), set(out)
    for message in run.messages:
        sent |= sent_keys([message], stream)
        if message["type"] == "STATE":
            kept = set(sent)
            part = part_of(message["value"], stream)
            lost = {key: time for key, time in times.items() if key not in sent and claims(part, time)}
            assert not lost, f"{len(lost)} records are not out, though STATE says so: {part}"
    return kept
