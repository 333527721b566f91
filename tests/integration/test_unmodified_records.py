"""Records written unmodified equal those of the SDK's own path, message by message, and so do those in batches."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.singerlib.encoding import SimpleSingerWriter
from singer_sdk.streams.core import Stream

from tap_payments.client import PaymentsStream
from tap_payments.output.writer import BufferedWriter
from tap_payments.tap import TapPayments
from tests.fake_api import FakeAPI, make_account
from tests.support.in_process import InProcessRun, Number, read_exactly, run_in_process
from tests.support.states import batch_config, batch_files, read_lines
from tests.support.tap_runs import catalog_with, tap_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    Read = Callable[..., "Output"]

JSON = dict[str, Any]

STREAMS = ("charges", "subscriptions")
UNDECLARED, INSIDE = "all, and what is not declared", "some inside deselected"
SELECTIONS: dict[str, list[str]] = {
    "all": [],
    UNDECLARED: [],
    "some deselected": ["charges.amount", "charges.metadata", "charges.logs", "subscriptions.items"],
    INSIDE: [],
    "a stream deselected": ["subscriptions"],
}
ONLY = {"__else__": None, "charge_id": "charge_id"}
MAPS: dict[str, JSON | None] = {
    "no map": None,
    "renamed": {"charges": {"reference": "charge_id", "status": None, "__key_properties__": ["reference"]}},
    "hashed": {"charges": {"customer_email": "md5(customer_email)", "customer_name": "__NULL__"}},
    "made": {"charges": {"double": "float(amount_refunded) * 2", "paid": "is_paid", **ONLY}},
    "filtered": {"charges": {"__filter__": "status == 'successful'"}},
    "by another name": {"charges": {"__alias__": "payments"}},
    "copied": {"charges_copy": {"__source__": "charges", "amount": "amount_refunded", **ONLY}},
    "another stream left out": {"subscriptions": None},
}
OUTPUTS: dict[str, JSON] = {
    "as it is": {},
    "flattened": {"flattening_enabled": True, "flattening_max_depth": 1},
    "hashed": {"personal_data": "hash", "hash_key": "a key"},
    "dropped": {"personal_data": "drop"},
    "versioned": {"page_overlap": 1, "emit_activate_version_messages": True},
}
BATCH_SIZE = 5
# Where the direct path will not do, and how the SDK writes by itself.
FORCED = [(PaymentsStream, "can_write_unmodified", property(lambda _: False))]
SDK: list[tuple[Any, str, Any]] = [
    *FORCED,
    (TapPayments, "message_writer_class", SimpleSingerWriter),
    (PaymentsStream, "_write_record_message", Stream._write_record_message),  # noqa: SLF001
    (PaymentsStream, "_generate_record_messages", Stream._generate_record_messages),  # noqa: SLF001
]


class Output:
    """All messages of a run but STATE, with numbers as text, without the time of extraction."""

    def __init__(self, run: InProcessRun, unmodified: int) -> None:
        self.run, self.unmodified = run, unmodified
        self.messages = [one for one in map(read_exactly, run.stdout.splitlines()) if one["type"] != "STATE"]
        self.records: dict[str, list[JSON]] = {}
        for message in self.messages:
            message.pop("time_extracted", None)
            if "version" in message:
                message["version"] = "the time of the run"
            if message["type"] == "RECORD":
                self.records.setdefault(message["stream"], []).append(message["record"])

    def of(self, kind: str) -> list[JSON]:
        """Return the messages of a type."""
        return [message for message in self.messages if message["type"] == kind]


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
def read(account: FakeAPI, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Return a function that reads the account, with patches, and counts the records that are written unmodified."""
    make = BufferedWriter.record_writer

    def read(selection: str, settings: JSON, patches: Sequence[tuple[Any, str, Any]] = ()) -> Output:
        catalog = catalog_with(only=STREAMS, deselect=SELECTIONS[selection], undeclared=selection == UNDECLARED)
        order = {"breadcrumb": ["properties", "metadata", "properties", "order"], "metadata": {"selected": False}}
        for entry in catalog["streams"] if selection == INSIDE else ():
            entry["metadata"].append(order)
        unmodified = list[None]()

        def counted(writer: BufferedWriter, stream: str, **others: Any) -> Callable[[JSON], None]:
            write = make(writer, stream, **others)
            return lambda record: unmodified.append(write(record))

        with monkeypatch.context() as patch:
            for one in ((BufferedWriter, "record_writer", counted), *patches):
                patch.setattr(*one)
            run = run_in_process(tap_config(account, page_size=7, **settings), catalog=catalog)
        return Output(run.expect_success(), len(unmodified))

    return read


def by_value(value: Any) -> Any:
    """Return numbers by what they are worth, since another encoder may write them otherwise."""
    if isinstance(value, Number):
        return Decimal(value)
    if isinstance(value, dict):
        return {name: by_value(part) for name, part in value.items()}
    return [by_value(part) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("selection", "maps", "output"),
    [
        *((selection, "no map", output) for selection in SELECTIONS for output in ("as it is", "flattened")),
        *(("some deselected", maps, output) for maps in MAPS for output in ("as it is", "flattened")),
        *(("all", "no map", output) for output in ("hashed", "dropped", "versioned")),
    ],
)
def test_both_paths_write_the_same_messages(selection: str, maps: str, output: str, read: Read) -> None:
    settings = {"stream_maps": MAPS[maps], **OUTPUTS[output]}
    result, forced, own = (read(selection, settings, patches) for patches in ((), FORCED, SDK))
    assert result.records
    assert forced.unmodified == own.unmodified == 0
    assert result.messages == forced.messages
    assert by_value(result.messages) == by_value(own.messages)
    assert result.run.states == forced.run.states
    assert all(("version" in message) is (output == "versioned") for message in result.of("RECORD"))
    is_plain = maps == "no map" and output != "flattened"
    if is_plain and selection != INSIDE:
        assert result.unmodified == sum(map(len, result.records.values()))
    elif is_plain or output == "flattened":
        assert result.unmodified == 0


@pytest.mark.parametrize(
    ("selection", "maps", "output", "compression"),
    [
        ("all", "no map", "hashed", "none"),
        *(("some deselected", maps, "as it is", "gzip") for maps in MAPS),
        ("all", "renamed", "flattened", "gzip"),
    ],
)
def test_batches_have_the_records_of_messages(  # noqa: PLR0913, PLR0917 -- every combination
    selection: str, maps: str, output: str, compression: str, read: Read, tmp_path: Path
) -> None:
    settings = {"stream_maps": MAPS[maps], **OUTPUTS[output]}
    expected = read(selection, settings)
    batch = batch_config(tmp_path, BATCH_SIZE, compression)
    batch["storage"]["prefix"] = "some-"
    result = read(selection, {**settings, "batch_config": batch})
    assert result.records == {}
    in_files: dict[str, list[JSON]] = {}
    for message in result.of("BATCH"):
        assert message["encoding"] == {"format": "jsonl", "compression": compression}
        for file in batch_files([message]):
            records = [read_exactly(line) for line in read_lines(file)]
            sent = in_files.setdefault(message["stream"], [])
            assert len(sent) % BATCH_SIZE == 0, "a batch before this one was not full"
            assert 0 < len(records) <= BATCH_SIZE
            sent += records
    assert in_files == expected.records
    files = sorted(file.name for file in batch_files(result.messages))
    assert files == sorted(path.name for path in tmp_path.iterdir())
    assert all(name.startswith("some-") for name in files)
    assert result.of("SCHEMA") == expected.of("SCHEMA")
    counted = re.findall(r'"metric":"record_count","value":(\d+)', result.run.stderr)
    assert sum(map(int, counted)) == 36
    # A schema goes before the first batch of its stream.
    order = [message["stream"] for message in result.messages]
    assert all(result.messages[order.index(stream)]["type"] == "SCHEMA" for stream in in_files)


@pytest.mark.parametrize("keys", [None, []])
def test_a_schema_without_a_key_says_so_with_an_empty_list(keys: list[str] | None) -> None:
    with FakeAPI(make_account(charges=2)) as api:
        maps = {"charges": {"__key_properties__": keys}, "copy": {"__source__": "charges", "__key_properties__": keys}}
        run = run_in_process(tap_config(api, stream_maps=maps), catalog=catalog_with(only=["charges"]))
    assert [run.expect_success().schemas[name]["key_properties"] for name in ("charges", "copy")] == [[], []]
