"""target-postgres as meltanolabs make it, with COPY that keeps every digit and with less work for each record.

It takes the same settings, makes the same tables and fills them with the same values; `tests/e2e/test_target.py`
holds both against each other. These things differ, the last two with `use_copy` alone:

- NUL characters, for which PostgreSQL has no place, become U+FFFD wherever they stand, in keys and nested values too.
- Records in the JSON Lines files of a BATCH message are loaded as if they had come in RECORD messages, so all of this
  holds for them, and their `_sdc_` columns are filled, `_sdc_extracted_at` with the time at which the message came. The
  SDK sends them to the table as they are.
- Date-times go into a column without a time zone in UTC. COPY drops their zone, and INSERT takes the session's.
- A field may have any name: where one is longer than PostgreSQL takes, a hash ends the name of its column. Columns that
  somebody added to the table are left to PostgreSQL, whatever their type. The target fails on both.
- A STATE goes out as it came. The target fails on one with a fraction.
- SIGINT and SIGTERM end the input, and further ones are ignored. The SDK loads the rest at each signal, also in the
  midst of a load.
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

import os
import signal
import sys
from concurrent.futures import Future
from contextlib import ExitStack
from datetime import date, datetime, time
from functools import lru_cache, partial
from hashlib import sha256
from operator import itemgetter
from threading import Thread
from typing import TYPE_CHECKING, Any

from singer_sdk.contrib.msgspec import encoder
from singer_sdk.helpers._typing import get_datelike_property_type
from singer_sdk.singerlib.json import serialize_json
from sqlalchemy import ARRAY, JSON, TIMESTAMP, Column, MetaData, Table, and_, cast, exists, insert, select, update
from target_postgres.connector import PostgresConnector
from target_postgres.sinks import PostgresSink
from target_postgres.target import TargetPostgres
from typing_extensions import override

from target_postgres_exact.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType

    from singer_sdk.helpers.conform import DatetimeErrorTreatmentEnum
    from sqlalchemy import Connection, Executable

# The time zone of each session: date-times are converted for columns without one.
os.environ["PGTZ"] = "UTC"
# Batches with a key that are merged, one beside the reading of the next, before the target waits for all of them.
MERGES = 4
# PostgreSQL cuts names after so many bytes, and the next load would look for the whole name.
LONGEST_NAME = 63


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
    """Read a date or time."""
    return None if text is None else read(text)


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


def resolve(future: Future[None], call: Callable[[], None]) -> None:
    """Let a future have the outcome of a call."""
    try:
        call()
        future.set_result(None)
    except Exception as error:  # noqa: BLE001  # raised where the future is waited for
        future.set_exception(error)


class ExactConnector(PostgresConnector):
    """The database."""

    @override
    def _create_empty_column(
        self, schema_name: str, table_name: str, column_name: str, sql_type: Any, connection: Connection
    ) -> None:
        # The original doubles percent signs once too often, and leaves quotation marks as they are.
        quote = connection.dialect.identifier_preparer.quote
        kind = sql_type.compile(dialect=connection.dialect)
        connection.exec_driver_sql(
            f"ALTER TABLE {quote(schema_name)}.{quote(table_name)} ADD COLUMN {quote(column_name)} {kind}"
        )


class ExactSink(PostgresSink):
    """One table."""

    connector_class = ExactConnector
    schema: dict[str, Any]

    def __init__(self, target: TargetPostgresExact, *args: Any, **kwargs: Any) -> None:
        """Plan how a record becomes a row; the arguments are the SDK's."""
        super().__init__(target, *args, **kwargs)
        # The connector of an SSH tunnel has handlers of its own, which end the process.
        target._setup_signal_handlers()  # noqa: SLF001  # no other way leads there
        self._target = target
        self._batch_size: int = super().max_size
        self._properties = self.schema["properties"]
        self._key = itemgetter(*self._key_properties) if self._key_properties else None
        self.schema = self.conform_schema(self.schema)
        columns = self.column_representation(self.schema)
        self._table = Table(self.table_name, MetaData(), *columns, schema=self.schema_name)
        # Rows are sent to a table whose columns have plain names.
        self._sent = Table(
            self.temp_table_name, MetaData(), *(Column(f"c{index}", each.type) for index, each in enumerate(columns))
        )
        self._binders = {}
        for index, (column, schema) in enumerate(zip(columns, self._properties.values(), strict=True)):
            bind = DATES.get(get_datelike_property_type(schema))
            if bind is None and self.config["use_copy"]:
                bind = binder(column.type, self.connector._engine.dialect)  # noqa: SLF001  # as the original does
            if bind is not None:
                self._binders[index] = bind

    @override
    def conform_name(self, name: str, object_type: str | None = None) -> str:
        encoded = name.encode()
        if len(encoded) <= LONGEST_NAME:
            return name
        suffix = f"_{sha256(encoded).hexdigest()[:8]}"
        return encoded[: LONGEST_NAME - len(suffix)].decode(errors="ignore") + suffix

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
            for index, bind in self._binders.items():
                row[index] = bind(row[index])
        except ValueError:
            # The SDK names the field.
            schema = {**self.schema, "properties": self._properties}
            super()._parse_timestamps_in_record(record, schema, self.datetime_error_treatment)
            raise
        # Of the records with one key the last counts.
        rows = context["records"]
        rows[self._key(record) if self._key else len(rows)] = tuple(row)
        if self._key and len(rows) >= self._batch_size:
            self._target.merge_beside(self._send(rows))
            context["records"] = {}

    @override
    def process_batch(self, context: dict[str, Any]) -> None:
        self._target.wait()
        if context["records"]:
            self._send(context["records"])()

    def _send(self, rows: Mapping[Any, Sequence[Any]]) -> Callable[[], None]:
        """Send rows to a table of their own, and return what merges them."""
        with ExitStack() as transaction:
            connection = transaction.enter_context(self.connector._connect())  # noqa: SLF001  # as the original does
            transaction.enter_context(connection.begin())
            names = self._sent.columns.keys()
            # COPY drops the time zone of what goes into a column without one.
            columns = (
                cast(column, TIMESTAMP(timezone=True)) if isinstance(column.type, TIMESTAMP) else column
                for column in self._table.columns
            )
            labels = [column.label(name) for column, name in zip(columns, names, strict=True)]
            rowless = f"{select(*labels).compile(dialect=connection.dialect)} WITH NO DATA"
            connection.exec_driver_sql(f'CREATE TEMPORARY TABLE "{self._sent.name}" ON COMMIT DROP AS {rowless}')
            if self.config["use_copy"]:
                with connection.connection.cursor().copy(f'COPY "{self._sent.name}" FROM STDIN') as copy:
                    for row in rows.values():
                        copy.write_row(row)
            else:
                connection.execute(insert(self._sent), [dict(zip(names, row, strict=True)) for row in rows.values()])
            return partial(self._merge, transaction.pop_all(), connection)

    def _merge(self, transaction: ExitStack, connection: Connection) -> None:
        """Take the rows that were sent into the table."""
        with transaction:
            for statement in self._statements():
                connection.execute(statement)

    def _statements(self) -> Iterator[Executable]:
        """Yield what takes the rows that were sent into the table, those with a known key first."""
        values = dict(zip(self._table.columns, self._sent.columns, strict=True))
        rows = select(*values.values())
        if self._key:
            keys = [self._table.columns[name] for name in self.key_properties]
            same_key = and_(*(values[key] == key for key in keys))
            yield update(self._table).where(same_key).values(values)
            rows = rows.where(~exists().where(same_key))
        yield insert(self._table).from_select(list(values), rows)

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
    _merging: Future[None] | None = None

    def wait(self) -> None:
        """Wait until nothing is merged beside the reading, and raise what went wrong with it."""
        if self._merging is not None:
            self._merging.result()

    def merge_beside(self, merge: Callable[[], None]) -> None:
        """Merge what was sent, beside the reading of what follows."""
        self.wait()
        self._merging = Future()
        # A load that fails meanwhile does not wait.
        Thread(target=resolve, args=(self._merging, merge), daemon=True).start()

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        Reader.stop()

    @override
    def process_endofpipe(self) -> None:
        # All that came is loaded now, in any case.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        super().process_endofpipe()

    @override
    def _write_state_message(self, state: dict[str, Any]) -> None:
        sys.stdout.write(serialize_json(state) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    TargetPostgresExact.cli()
