"""Records written unmodified equal those of the SDK's own path, message by message, and so do those in batches."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest
from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.singerlib.encoding import SimpleSingerWriter
from singer_sdk.streams.core import Stream

from tap_payments.client import PaymentsStream
from tap_payments.output.writer import BufferedWriter
from tap_payments.tap import TapPayments
from tests.fake_api import FakeAPI, make_account
from tests.support.in_process import InProcessRun, Number, read_exactly, run_in_process
from tests.support.tap_runs import catalog_with, tap_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

JSON = dict[str, Any]

STREAMS = ("charges", "subscriptions")
SELECTIONS: dict[str, list[str]] = {
    "all": [],
    "all, and what is not declared": [],
    "some deselected": ["charges.amount", "charges.metadata", "charges.logs", "subscriptions.items"],
    "some inside deselected": [],
    "a stream deselected": ["subscriptions"],
}
MAPS: dict[str, JSON | None] = {
    "no map": None,
    "renamed": {"charges": {"reference": "charge_id", "status": None, "__key_properties__": ["reference"]}},
    "hashed": {"charges": {"customer_email": "md5(customer_email)", "customer_name": "__NULL__"}},
    "made": {
        "charges": {
            "double": "float(amount_refunded) * 2",
            "paid": "is_paid",
            "__else__": None,
            "charge_id": "charge_id",
        }
    },
    "filtered": {"charges": {"__filter__": "status == 'successful'"}},
    "by another name": {"charges": {"__alias__": "payments"}},
    "copied": {
        "charges_copy": {
            "__source__": "charges",
            "amount": "amount_refunded",
            "charge_id": "charge_id",
            "__else__": None,
        }
    },
    "another stream left out": {"subscriptions": None},
}
FLATTENING: dict[str, JSON] = {
    "as it is": {},
    "flattened": {"flattening_enabled": True, "flattening_max_depth": 1},
}
BATCH_SIZE = 5


@dataclass
class Said:
    """The messages of a run, with numbers as text, and how many records were written unmodified."""

    run: InProcessRun
    unmodified: int

    @property
    def messages(self) -> list[JSON]:
        """All messages but STATE, without the time of extraction."""
        messages = [read_exactly(line) for line in self.run.stdout.splitlines()]
        for message in messages:
            message.pop("time_extracted", None)
        return [message for message in messages if message["type"] != "STATE"]

    @property
    def records(self) -> dict[str, list[JSON]]:
        """The records, by the name they went by."""
        found: dict[str, list[JSON]] = {}
        for message in self.messages:
            if message["type"] == "RECORD":
                found.setdefault(message["stream"], []).append(message["record"])
        return found


@dataclass
class Paths:
    """Reads one account on the one path or the other."""

    api: FakeAPI
    monkeypatch: pytest.MonkeyPatch
    unmodified: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        make = BufferedWriter.record_writer

        def counted(writer: BufferedWriter, stream: str, **others: Any) -> Callable[[JSON], None]:
            write = make(writer, stream, **others)

            def write_and_count(record: JSON) -> None:
                self.unmodified.append(1)
                write(record)

            return write_and_count

        self.monkeypatch.setattr(BufferedWriter, "record_writer", counted)

    def read(self, selection: str, settings: JSON) -> Said:
        """Read with what is set now."""
        undeclared = selection == "all, and what is not declared"
        catalog = catalog_with(only=STREAMS, deselect=SELECTIONS[selection], undeclared=undeclared)
        if selection == "some inside deselected":
            for entry in catalog["streams"]:
                entry["metadata"].append(
                    {"breadcrumb": ["properties", "metadata", "properties", "order"], "metadata": {"selected": False}}
                )
        self.unmodified.clear()
        run = run_in_process(tap_config(self.api, page_size=7, **settings), catalog=catalog)
        return Said(run.expect_success(), sum(self.unmodified))

    def read_sdk(self, selection: str, settings: JSON, writer: type[Any]) -> Said:
        """Read as the SDK does by itself."""
        with self.monkeypatch.context() as patch:
            patch.setattr(PaymentsStream, "can_write_unmodified", property(lambda _: False))
            patch.setattr(PaymentsStream, "_write_record_message", Stream._write_record_message)  # noqa: SLF001
            patch.setattr(PaymentsStream, "_generate_record_messages", Stream._generate_record_messages)  # noqa: SLF001
            patch.setattr(TapPayments, "message_writer_class", writer)
            return self.read(selection, settings)

    def read_forced(self, selection: str, settings: JSON) -> Said:
        """Read as where the direct path will not do."""
        with self.monkeypatch.context() as patch:
            patch.setattr(PaymentsStream, "can_write_unmodified", property(lambda _: False))
            return self.read(selection, settings)


@pytest.fixture(scope="module")
def account() -> Iterator[FakeAPI]:
    """An account as PHP sends it, with fields that the schemas do not declare."""
    lists = make_account(charges=24, subscriptions=12, customers=3, products=2, php=True)
    for record in (*lists["charges"][::3], *lists["subscriptions"][::3]):
        record["zz"] = {"risk": 0.5, "ip": "192.0.2.1"}
        for item in record.get("items", ()):
            item["zz"] = True
    with FakeAPI(lists) as api:
        yield api


@pytest.fixture
def paths(account: FakeAPI, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """Reads that account."""
    return Paths(account, monkeypatch)


def by_value(value: Any) -> Any:
    """Return numbers by what they are worth, since another encoder may write them otherwise."""
    if isinstance(value, Number):
        return Decimal(value)
    if isinstance(value, dict):
        return {name: by_value(part) for name, part in value.items()}
    return [by_value(part) for part in value] if isinstance(value, list) else value


def settings_of(maps: str, flattening: str) -> JSON:
    """Return the settings of a case."""
    return {"stream_maps": MAPS[maps], **FLATTENING[flattening]}


@pytest.mark.parametrize(
    ("selection", "maps", "flattening"),
    [
        *((selection, "no map", flattening) for selection in SELECTIONS for flattening in FLATTENING),
        *(("some deselected", maps, flattening) for maps in MAPS for flattening in FLATTENING),
    ],
)
def test_both_paths_write_the_same_messages(selection: str, maps: str, flattening: str, paths: Paths) -> None:
    settings = settings_of(maps, flattening)
    said = paths.read(selection, settings)
    assert said.records
    forced = paths.read_forced(selection, settings)
    assert forced.unmodified == 0
    assert said.messages == forced.messages
    plain = maps == "no map" and flattening == "as it is"
    if plain and selection != "some inside deselected":
        assert said.unmodified == sum(map(len, said.records.values()))
    elif plain or flattening == "flattened":
        assert said.unmodified == 0
    states = [message for message in said.run.messages if message["type"] == "STATE"]
    assert states == [message for message in forced.run.messages if message["type"] == "STATE"]
    own = paths.read_sdk(selection, settings, MsgSpecWriter)
    assert own.unmodified == 0
    assert by_value(said.messages) == by_value(own.messages)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_the_sdks_simple_writer_writes_the_same(selection: str, paths: Paths) -> None:
    said, own = paths.read(selection, {}), paths.read_sdk(selection, {}, SimpleSingerWriter)
    assert by_value(said.messages) == by_value(own.messages)


def test_a_version_is_written_on_both_paths(paths: Paths) -> None:
    settings = {"page_overlap": 1, "emit_activate_version_messages": True}
    said, forced = paths.read("all", settings), paths.read_forced("all", settings)
    assert said.unmodified == 36
    for one in (said, forced):
        versions = {message.pop("version") for message in one.run.messages if "version" in message}
        assert len(versions) >= 1
        kinds = [message["type"] for message in one.run.messages if message.get("stream") == "charges"]
        assert kinds == ["SCHEMA", *["RECORD"] * 24, "ACTIVATE_VERSION"]
    assert [message for message in said.run.messages if message["type"] == "SCHEMA"] == [
        message for message in forced.run.messages if message["type"] == "SCHEMA"
    ]
    assert said.records == forced.records


@pytest.mark.parametrize(
    ("selection", "maps", "flattening", "compression"),
    [
        ("all", "no map", "as it is", "none"),
        *(("some deselected", maps, "as it is", "gzip") for maps in MAPS),
        ("all", "renamed", "flattened", "gzip"),
    ],
)
def test_batches_have_the_records_of_messages(  # noqa: PLR0913, PLR0917 -- every combination
    selection: str, maps: str, flattening: str, compression: str, paths: Paths, tmp_path: Path
) -> None:
    settings = settings_of(maps, flattening)
    expected = paths.read(selection, settings)
    batch = {
        "encoding": {"format": "jsonl", "compression": compression},
        "storage": {"root": tmp_path.as_uri(), "prefix": "some-"},
        "batch_size": BATCH_SIZE,
    }
    said = paths.read(selection, {**settings, "batch_config": batch})
    assert said.records == {}
    found: dict[str, list[JSON]] = {}
    sizes: dict[str, list[int]] = {}
    files = []
    for message in said.messages:
        if message["type"] != "BATCH":
            continue
        assert message["encoding"] == {"format": "jsonl", "compression": compression}
        for url in message["manifest"]:
            path = Path(unquote(urlsplit(url).path))
            files.append(path.name)
            content = path.read_bytes()
            lines = (gzip.decompress(content) if compression == "gzip" else content).splitlines()
            found.setdefault(message["stream"], []).extend(read_exactly(line) for line in lines)
            sizes.setdefault(message["stream"], []).append(len(lines))
    assert found == expected.records
    for counts in sizes.values():
        assert set(counts[:-1]) <= {BATCH_SIZE}
        assert 0 < counts[-1] <= BATCH_SIZE
    assert sorted(files) == sorted(path.name for path in tmp_path.iterdir())
    assert len(set(files)) == len(files)
    assert all(name.startswith("some-") for name in files)
    schemas = [message for message in said.messages if message["type"] == "SCHEMA"]
    assert schemas == [message for message in expected.messages if message["type"] == "SCHEMA"]
    # A schema goes before the first batch of its stream.
    order = [message["stream"] for message in said.messages]
    assert {message["stream"] for message in said.messages if message["type"] == "BATCH"} <= set(order)
    assert all(said.messages[order.index(stream)]["type"] == "SCHEMA" for stream in found)


def test_numbers_beyond_a_float_go_out_on_both_paths(paths: Paths) -> None:
    record = {"charge_id": "a", "email_last_sent": 5}
    with FakeAPI({"charges": [record]}) as api:
        paths.api = api
        listing = api.account["charges"]
        listing._encoded[0] = b'{"charge_id":"a","email_last_sent":1E+400,"zz":%s.5}' % (b"9" * 400)  # noqa: SLF001
        selection = "all, and what is not declared"
        said, forced = paths.read(selection, {}), paths.read_forced(selection, {})
    assert (
        said.records
        == forced.records
        == {"charges": [{"charge_id": "a", "email_last_sent": "1E+400", "zz": "9" * 400 + ".5"}]}
    )
    assert json.loads(said.run.stdout.splitlines()[0])["type"] == "SCHEMA"


@pytest.mark.parametrize("keys", [None, []])
def test_a_schema_without_a_key_says_so_with_an_empty_list(keys: list[str] | None) -> None:
    with FakeAPI(make_account(charges=2)) as api:
        maps = {"charges": {"__key_properties__": keys}, "copy": {"__source__": "charges", "__key_properties__": keys}}
        run = run_in_process(tap_config(api, stream_maps=maps), catalog=catalog_with(only=["charges"]))
    assert [run.expect_success().schemas[name]["key_properties"] for name in ("charges", "copy")] == [[], []]
