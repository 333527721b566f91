"""target-postgres as meltanolabs make it, with COPY that keeps every digit and with less work for each record.

It takes the same settings, makes the same tables and fills them with the same values; `tests/e2e/test_target.py`
holds both against each other. These things differ, the first and what goes into COPY with `use_copy` alone:

- Amounts reach a NUMERIC column as they were written. The target's own COPY asks SQLAlchemy's generic `Numeric` how to
  send a value, and that makes a double of it unless the dialect says that its driver knows decimals.
- NUL characters, for which PostgreSQL has no place, become U+FFFD wherever they stand, in keys and nested values too.
- A record is taken apart once, straight into COPY, and messages and JSON columns go through msgspec.
- The SDK looks at every field of every record for a date to parse; here only at those that are declared as dates.
- Date-times go into a column without a time zone in UTC. COPY would drop a zone unread, and INSERT store the session's.
- After each full batch the rest is loaded too, and the last STATE goes out. The SDK keeps it for five minutes, or to
  the end, so that a run which is stopped before would begin anew.
- What stands in the files of a BATCH message is loaded as if it had come in RECORD messages, so all of the above holds
  for it, and its `_sdc_` columns say when it was loaded. The SDK sends such records to the table as they are.
"""

from __future__ import annotations

import gzip
import re
from contextlib import nullcontext
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import msgspec
from singer_sdk.contrib.msgspec import decoder, encoder
from singer_sdk.helpers._batch import BaseBatchFileEncoding, BatchConfig, BatchFileFormat, StorageTarget
from singer_sdk.helpers._typing import get_datelike_property_type
from singer_sdk.io_base import SingerReader
from target_postgres.connector import PostgresConnector
from target_postgres.sinks import PostgresSink
from target_postgres.target import TargetPostgres
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from singer_sdk.helpers.conform import DatetimeErrorTreatmentEnum
    from sqlalchemy import Connection, Engine, Table

NUL, REPLACEMENT = r"\u0000", r"\ufffd"
# Behind an odd number of backslashes it is not an escape, but text that looks like one.
ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


class Reader(SingerReader):
    """Singer messages, a line each."""

    @override
    def deserialize_json(self, line: str) -> dict[str, Any]:
        if NUL in line:
            line = ESCAPED_NUL.sub(rf"\1\{REPLACEMENT}", line)
        try:
            message: dict[str, Any] = decoder.decode(line)
        except msgspec.DecodeError:
            # Python's own decoder takes what is not quite JSON, such as half a surrogate pair, or says what is wrong.
            return super().deserialize_json(line)
        return message


class ExactConnector(PostgresConnector):
    """A connection that sends NUMERIC values as they are."""

    @override
    def create_engine(self) -> Engine:
        engine: Engine = super().create_engine()
        engine.dialect.supports_native_decimal = True
        return engine

    @override
    def serialize_json(self, obj: object) -> str:
        return encoder.encode(obj).decode()


class ExactSink(PostgresSink):
    """One table."""

    connector_class = ExactConnector

    def __init__(self, target: TargetPostgresExact, *args: Any, **kwargs: Any) -> None:
        """Note which fields are dates; the arguments are the SDK's."""
        super().__init__(target, *args, **kwargs)
        self._target = target
        properties = self.schema["properties"]
        self._declared = properties.keys()
        self._dates = [name for name, schema in properties.items() if get_datelike_property_type(schema)]

    @override
    def _parse_timestamps_in_record(
        self, record: dict[str, Any], schema: dict[str, Any], treatment: DatetimeErrorTreatmentEnum
    ) -> None:
        # The SDK has something to say about fields that are not declared.
        seen = record.keys() - self._declared
        seen.update(self._dates)
        fields = {name: record[name] for name in seen if record.get(name) is not None}
        super()._parse_timestamps_in_record(record=fields, schema=schema, treatment=treatment)
        for name, value in fields.items():
            record[name] = value.astimezone(timezone.utc) if isinstance(value, datetime) and value.tzinfo else value

    @override
    def mark_drained(self) -> None:
        super().mark_drained()
        self._target.has_loaded = True

    @override
    def bulk_insert_records(
        self,
        table: Table,
        schema: dict[str, Any],
        records: Iterable[dict[str, Any]],
        primary_keys: Sequence[str],
        connection: Connection,
    ) -> int | None:
        if not self.config["use_copy"]:
            count: int | None = super().bulk_insert_records(table, schema, records, primary_keys, connection)
            return count
        columns = self.column_representation(schema)
        names = [column.name for column in columns]
        processors = [column.type.bind_processor(connection.dialect) for column in columns]
        processed = [(place, processor) for place, processor in enumerate(processors) if processor is not None]
        if not self.append_only:
            # Of the records with one key the last counts, in the place of the first.
            records = {tuple(record[key] for key in primary_keys): record for record in records}.values()
        statement = self.generate_copy_statement(table.name, columns)
        with connection.connection.cursor().copy(statement) as copy:
            for record in records:
                row = [record.get(name) for name in names]
                for place, processor in processed:
                    row[place] = processor(row[place])
                copy.write_row(row)
        return True


class TargetPostgresExact(TargetPostgres):
    """The target."""

    default_sink_class = ExactSink
    message_reader_class = Reader
    #: Whether a batch was loaded since the last STATE went out.
    has_loaded = False

    @override
    def _handle_max_record_age(self) -> None:
        """Load the rest and let the STATE go out where a batch was full; called after each record."""
        if self.has_loaded:
            self.drain_all()
            self.has_loaded = False
        else:
            super()._handle_max_record_age()

    @override
    def _process_batch_message(self, message_dict: dict[str, Any]) -> None:
        encoding = BaseBatchFileEncoding.from_dict(message_dict["encoding"])
        if encoding.format != BatchFileFormat.JSONL:
            super()._process_batch_message(message_dict)
            return
        settings = self.config.get("batch_config")
        storage = BatchConfig.from_dict(settings).storage if settings else None
        for path in message_dict["manifest"]:
            folder, name = StorageTarget.split_url(path)
            with (
                (storage or StorageTarget.from_url(folder)).open(name, "rb") as file,
                gzip.open(file) if encoding.compression == "gzip" else nullcontext(file) as lines,
            ):
                for line in lines:
                    record = self.message_reader.deserialize_json(line.decode())
                    self._process_record_message({"stream": message_dict["stream"], "record": record})


if __name__ == "__main__":
    TargetPostgresExact.cli()
