"""target-postgres as meltanolabs make it, with COPY that keeps every digit and with less work for each record.

It takes the same settings, makes the same tables and fills them with the same values; `tests/e2e/test_target.py`
holds both against each other. These things differ, the last two with `use_copy` alone:

- NUL characters, for which PostgreSQL has no place, become U+FFFD wherever they stand, in keys and nested values too.
- Records in the JSON Lines files of a BATCH message are loaded as if they had come in RECORD messages, so all of this
  holds for them, and their `_sdc_` columns are filled. The SDK sends them to the table as they are.
- Date-times go into a column without a time zone in UTC. COPY drops their zone, and INSERT takes the session's.
- What came before a schema is loaded before what comes behind it. The SDK first loads a full batch of the new one.
- Rows with a known key are updated before the others are inserted. The target inserts first, and then updates what it
  has inserted, which writes every new row twice.
- A batch with a key is merged into its table while the next one is read, and after every fourth the rest is loaded too,
  and the last STATE goes out. The SDK keeps it for five minutes, or to the end, so that a run which is stopped before
  would begin anew.
- COPY sends amounts as they were written. The target's own asks SQLAlchemy's generic `Numeric` how to send a number,
  and makes a double of it.
- A record becomes a row as soon as it is read, and only columns that need it are looked at. The SDK searches every
  field of every record for a date, and the target holds all records of a batch as they came.
"""

from __future__ import annotations

import atexit
import gzip
import os
import sys
from contextlib import ExitStack, nullcontext
from datetime import date, datetime, time, timezone
from functools import lru_cache, partial
from operator import itemgetter
from select import select as wait_for
from typing import IO, TYPE_CHECKING, Any

import msgspec
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from singer_sdk.contrib.msgspec import decoder, encoder
from singer_sdk.helpers._batch import BaseBatchFileEncoding, BatchFileFormat, StorageTarget
from singer_sdk.helpers._typing import get_datelike_property_type
from singer_sdk.io_base import GenericSingerReader, SingerReader
from sqlalchemy import ARRAY, JSON, and_, exists, insert, make_url, select, update
from sqlalchemy.schema import DropTable
from target_postgres.sinks import PostgresSink
from target_postgres.target import TargetPostgres
from typing_extensions import override

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Mapping, Sequence

    from psycopg import Error
    from psycopg.pq.abc import PGconn, PGresult
    from singer_sdk.helpers.conform import DatetimeErrorTreatmentEnum
    from sqlalchemy import ClauseElement, Connection, Table

    Callbacks = Mapping[str, Callable[[dict[str, Any]], None]]

# The time zone of each session: INSERT converts date-times for columns without one.
os.environ["PGTZ"] = "UTC"
# Batches with a key that are merged, one beside the reading of the next, before the target waits for all of them.
MERGES = 4
NUL, REPLACEMENT, BACKSLASH = rb"\u0000", rb"\ufffd", rb"\\"


class Reader(GenericSingerReader[bytes]):
    """Singer messages, a line each."""

    default_input = sys.stdin.buffer

    @override
    def process_lines(self, file_input: IO[bytes] | None, callbacks: Callbacks) -> Counter[str]:
        # The file of `--input` is opened as text.
        lines = getattr(file_input, "buffer", file_input)
        return super().process_lines(lines, {**callbacks, "BATCH": partial(self._process_files, callbacks)})

    def _process_files(self, callbacks: Callbacks, message: dict[str, Any]) -> None:
        """Process the records in the files of a BATCH message."""
        encoding = BaseBatchFileEncoding.from_dict(message["encoding"])
        if encoding.format != BatchFileFormat.JSONL:
            raise ValueError(f"unsupported format of a BATCH message: {encoding.format}")
        for path in message["manifest"]:
            folder, name = StorageTarget.split_url(path)
            with (
                StorageTarget.from_url(folder).open(name, "rb") as file,
                gzip.open(file) if encoding.compression == "gzip" else nullcontext(file) as lines,
            ):
                for line in lines:
                    callbacks["RECORD"]({"stream": message["stream"], "record": self.deserialize_json(line)})

    @override
    def deserialize_json(self, line: bytes) -> dict[str, Any]:
        if NUL in line:
            # Behind an escaped backslash it is text that looks like an escape.
            line = BACKSLASH.join(part.replace(NUL, REPLACEMENT) for part in line.split(BACKSLASH))
        try:
            message: dict[str, Any] = decoder.decode(line)
        except msgspec.DecodeError:
            # Python's own decoder takes what is not quite JSON, such as half a surrogate pair, or says what is wrong.
            return SingerReader().deserialize_json(line.decode())
        return message


def as_json(value: Any) -> str:
    """Write a value as JSON, numbers with every digit."""
    return encoder.encode(value).decode()


def as_array(items: Any, *, is_json: bool) -> Any:
    """Write a list as PostgreSQL writes an array, and leave anything else as it is."""
    if not isinstance(items, list):
        return items
    texts = [item if not is_json and (item is None or isinstance(item, str)) else as_json(item) for item in items]
    quoted = ["NULL" if text is None else '"' + text.replace("\\", r"\\").replace('"', r"\"") + '"' for text in texts]
    return "{" + ",".join(quoted) + "}"


def as_moment(read: Callable[[str], Any], text: str | None) -> Any:
    """Read a date or time, in UTC where it has both and a time zone."""
    moment = None if text is None else read(text)
    return moment.astimezone(timezone.utc) if isinstance(moment, datetime) and moment.tzinfo else moment


# Most records share a time with the one before them, such as that of their extraction.
DATES: dict[str | None, Callable[[Any], Any]] = {
    "date": lru_cache(partial(as_moment, date.fromisoformat)),
    "date-time": lru_cache(partial(as_moment, datetime.fromisoformat)),
    "time": lru_cache(partial(as_moment, time.fromisoformat)),
}


def binder(column_type: Any, dialect: Any) -> Callable[[Any], Any] | None:
    """Return what makes values ready for a column, or None where they are."""
    if isinstance(column_type, JSON):
        return as_json
    if isinstance(column_type, ARRAY):
        return partial(as_array, is_json=isinstance(column_type.item_type, JSON))
    bind: Callable[[Any], Any] | None = column_type.dialect_impl(dialect).bind_processor(dialect)
    return bind


class Merge:
    """Statements that PostgreSQL carries out while something else is done here.

    Without a thread: at SIGTERM the SDK loads the rest in threads of its own, and the main one may hold a lock then.

    Args:
        transaction: What ends the transaction that has begun, and gives the connection back.
        connection: The connection.
        statements: The statements, of which the last ends the transaction.
    """

    def __init__(self, transaction: ExitStack, connection: Connection, statements: Sequence[str]) -> None:
        self._transaction = transaction
        driver: Any = connection.connection.driver_connection
        self._libpq: PGconn = driver.pgconn
        self._error: Error | None = None
        self._is_done = False
        # A run that fails meanwhile does not wait. SQLAlchemy would say that the connection is in use.
        self._give_up = connection.invalidate
        atexit.register(self._give_up)
        self._libpq.send_query("; ".join(statements).encode())
        while self._libpq.flush():
            wait_for([], [self._libpq.socket], [])

    def wait(self) -> Error | None:
        """Wait until they are carried out, and return what went wrong.

        Raises:
            psycopg.Error: If the connection is lost.
        """
        while not self._is_done:
            result = self._next_result()
            if result is None:
                self._is_done = True
                self._transaction.close()
                atexit.unregister(self._give_up)
            elif result.status == ExecStatus.FATAL_ERROR:
                self._error = error_from_result(result)
        return self._error

    def _next_result(self) -> PGresult | None:
        while self._libpq.is_busy():
            wait_for([self._libpq.socket], [], [])
            self._libpq.consume_input()
        return self._libpq.get_result()


class ExactSink(PostgresSink):
    """One table."""

    def __init__(self, target: TargetPostgresExact, *args: Any, **kwargs: Any) -> None:
        """Plan how a record becomes a row; the arguments are the SDK's."""
        super().__init__(target, *args, **kwargs)
        self._target = target
        self._batch_size: int = super().max_size
        self._merge: Merge | None = None
        self._properties = self.schema["properties"]
        self._columns = self.column_representation(self.schema)
        self._key = itemgetter(*self.key_properties) if self.key_properties else None
        dialect: Any = make_url(self.connector.sqlalchemy_url).get_dialect()
        # The style of psycopg doubles the percent signs of names.
        self._plain = dialect(paramstyle="named")
        self._binders = {}
        for place, (column, schema) in enumerate(zip(self._columns, self._properties.values(), strict=True)):
            bind = DATES.get(get_datelike_property_type(schema))
            if bind is None and self.config["use_copy"]:
                bind = binder(column.type, self._plain)
            if bind is not None:
                self._binders[place] = bind

    @override
    def _parse_timestamps_in_record(
        self, record: dict[str, Any], schema: dict[str, Any], treatment: DatetimeErrorTreatmentEnum
    ) -> None:
        # Dates are read with the rest of the row. The SDK has something to say about fields that are not declared.
        if not record.keys() <= self._properties.keys():
            others = {name: record[name] for name in record.keys() - self._properties.keys()}
            super()._parse_timestamps_in_record(others, schema, treatment)

    @property
    @override
    def max_size(self) -> int:
        # Rows without a key are added with all others of their batch, or a run that begins anew would add them again.
        return self._batch_size * MERGES if self._key else self._batch_size

    @override
    def setup(self) -> None:
        # What came with another schema, or for the same table, is there before what comes now.
        self._target.drain_all()
        super().setup()

    @override
    def start_batch(self, context: dict[str, Any]) -> None:
        context["records"] = {}

    @override
    def process_record(self, record: dict[str, Any], context: dict[str, Any]) -> None:
        row = list(map(record.get, self._properties))
        try:
            for place, bind in self._binders.items():
                row[place] = bind(row[place])
        except ValueError:
            # The SDK names the field.
            super()._parse_timestamps_in_record(record, self.schema, self.datetime_error_treatment)
            raise
        # Of the records with one key the last counts.
        rows = context["records"]
        rows[self._key(record) if self._key else len(rows)] = tuple(row)
        if self._key and len(rows) >= self._batch_size:
            self._target.merge_alone(self)
            self._load(rows)
            context["records"] = {}

    @override
    def process_batch(self, context: dict[str, Any]) -> None:
        if not self._key:
            super().process_batch(context)
            return
        self.wait()
        if context["records"]:
            self._load(context["records"])
            self.wait()

    def wait(self) -> None:
        """Wait until all that was sent is merged.

        Raises:
            psycopg.Error: If it could not be merged.
        """
        error = self._merge.wait() if self._merge else None
        if error is not None:
            # At SIGTERM the SDK says nothing of errors.
            self.logger.error("A batch of '%s' could not be merged", self.stream_name)
            raise error

    def _load(self, rows: Mapping[Any, Sequence[Any]]) -> None:
        """Send rows to a table of their own, and begin to merge them."""
        with ExitStack() as transaction:
            connection = transaction.enter_context(self.connector._connect())  # noqa: SLF001  # as the original does
            transaction.enter_context(connection.begin())
            names = {"schema": self.schema, "primary_keys": self.key_properties, "connection": connection}
            table = self.connector.prepare_table(self.full_table_name, **names)
            sent = self.connector.copy_table_structure(self.temp_table_name, table, connection, as_temp_table=True)
            self.bulk_insert_records(sent, records=rows, **names)
            statements = [str(one.compile(dialect=self._plain)) for one in self._statements(sent, table)]
            self._merge = Merge(transaction.pop_all(), connection, [*statements, "COMMIT"])

    def _statements(self, sent: Table, table: Table) -> Sequence[ClauseElement]:
        """Return what takes the rows that were sent into the table, those with a known key first."""
        values = {name: sent.columns[name] for name in self._properties}
        same_key = and_(*(sent.columns[key] == table.columns[key] for key in self.key_properties))
        others = select(*values.values()).where(~exists().where(same_key))
        return (
            update(table).where(same_key).values(values),
            insert(table).from_select(list(values), others),
            DropTable(sent),
        )

    @override
    def bulk_insert_records(
        self,
        table: Table,
        schema: dict[str, Any],
        records: Mapping[Any, Sequence[Any]],
        primary_keys: Sequence[str],
        connection: Connection,
    ) -> None:
        if not self.config["use_copy"]:
            dicts = (dict(zip(self._properties, row, strict=True)) for row in records.values())
            super().bulk_insert_records(table, schema, dicts, primary_keys, connection)
            return
        statement = self.generate_copy_statement(table.name, self._columns)
        with connection.connection.cursor().copy(statement) as copy:
            for row in records.values():
                copy.write_row(row)

    @override
    def mark_drained(self) -> None:
        was_full = self.is_full
        super().mark_drained()
        if was_full:
            self._target.drain_all()


class TargetPostgresExact(TargetPostgres):
    """The target."""

    default_sink_class = ExactSink
    message_reader_class = Reader

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Begin with no table; the arguments are the SDK's."""
        self._merging: ExactSink | None = None
        super().__init__(*args, **kwargs)

    def merge_alone(self, sink: ExactSink) -> None:
        """Wait for the table that is merged, as another is to be.

        Raises:
            psycopg.Error: If it could not be merged.
        """
        if self._merging is not None:
            self._merging.wait()
        self._merging = sink


if __name__ == "__main__":
    TargetPostgresExact.cli()
