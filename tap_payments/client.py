"""The stream class: the SDK's hooks for one list of the API, and the parts behind them."""

from __future__ import annotations

import logging
import sys
from abc import ABC
from dataclasses import replace
from functools import cached_property, partial
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, cast

from singer_sdk.authenticators import BasicAuthenticator
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import RemoveRecordTransform, SameRecordTransform
from singer_sdk.singerlib import ActivateVersionMessage, StateMessage
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL
from singer_sdk.streams.rest import PageContext, RESTStream
from typing_extensions import override

from tap_payments import errors
from tap_payments.api.fetcher import PageFetcher
from tap_payments.api.transport import ThreadSession, check_status, send
from tap_payments.errors import InvalidValueError, StreamError, UnreadableListError, UnwritableRecordError
from tap_payments.output.batches import Batches, Manifest
from tap_payments.output.writer import BufferedWriter
from tap_payments.pagination.loop import new_paginator, read_pages
from tap_payments.pagination.pages import WHOLE, ListFacts, PageToken, PagingRules, Span
from tap_payments.records.page import REPLACED_TEXT, Page, read_page
from tap_payments.records.plan import Plan
from tap_payments.records.schema import SCHEMAS, DeclaredSchema, declares, select_fields
from tap_payments.replication.reading import read_stream
from tap_payments.replication.state import write_state

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    import requests
    from singer_sdk import StreamSchema, Tap
    from singer_sdk.helpers._batch import BaseBatchFileEncoding, BatchConfig
    from singer_sdk.helpers.types import Context, Record
    from singer_sdk.singerlib import CatalogEntry, RecordMessage, SchemaMessage

    from tap_payments.context import SyncContext
    from tap_payments.output.progress import StreamProgress
    from tap_payments.pagination.paginator import ListPaginator
    from tap_payments.providers import Listing
    from tap_payments.replication.reading import Chunk
    from tap_payments.replication.state import StreamState
    from tap_payments.settings import Settings

UNWRITABLE = " cannot be encoded as JSON: check `stream_maps`, and how deeply it is nested"
# Longest time, in seconds, that a test of the connection waits for a response.
TEST_TIMEOUT = 10.0


class PaymentsStream(RESTStream[PageToken], ABC):
    """One list of the API."""

    # Set by subclasses: the key, the time that the list is sorted by, and that again where it may be INCREMENTAL.
    primary_keys: ClassVar[Sequence[str]] = ()
    time_field: ClassVar[str]
    valid_replication_keys: ClassVar[Sequence[str]] = ()
    schema: ClassVar[StreamSchema[str]] = DeclaredSchema(SCHEMAS)

    extra_retry_statuses = (429, 500, 502, 503, 504)
    # The plan has conformed types already, nested ones too; the SDK would make null of numbers beyond a float.
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE
    # The stream writes STATE itself, after each page that changes it.
    STATE_MSG_FREQUENCY = sys.maxsize

    def __init__(self, tap: Tap) -> None:
        """Create the stream."""
        super().__init__(tap)
        self._thread_session = ThreadSession()
        self._counts: StreamProgress
        self._write_unmodified: Callable[[Record], None] | None = None
        self._record_key = ""

    @property
    def sync_context(self) -> SyncContext:
        """State that the streams of this sync share."""
        return self._tap.sync_context  # type: ignore[attr-defined,no-any-return]  # the tap is a `TapPayments`

    @property
    def settings(self) -> Settings:
        """The settings of the sync."""
        return self.sync_context.settings

    @property
    def listing(self) -> Listing:
        """The filter field and the largest offset of this list."""
        return self.settings.provider.listing(self.name)

    @property
    def is_test(self) -> bool:
        """Whether this is a test of the connection, which takes one record and tries once."""
        return self.ABORT_AT_RECORD_COUNT is not None

    # The request.

    @property
    @override
    def url_base(self) -> str:
        return self.settings.base_url

    @override
    def get_url(self, context: Context | None) -> str:
        """Return the list's URL; unlike the SDK's, settings are not interpolated."""
        return self.url_base + self.path.lstrip("/")

    @cached_property
    @override
    def authenticator(self) -> BasicAuthenticator:
        return BasicAuthenticator(username=self.settings.username, password=self.settings.password)

    @property
    @override
    def http_headers(self) -> dict[str, str]:
        return {"Accept": "application/json"}

    @property
    @override
    def timeout(self) -> float:  # type: ignore[override]  # requests takes fractions of a second
        return min(self.settings.request_timeout, TEST_TIMEOUT if self.is_test else inf)

    @property
    @override
    def requests_session(self) -> requests.Session:
        return self._thread_session.session

    @override
    def get_url_params(self, context: Context | None, next_page_token: PageToken | None) -> dict[str, Any]:
        settings, token = self.settings, next_page_token or PageToken()
        params: dict[str, Any] = {settings.limit_param: settings.page_size}
        if settings.offset_param:
            params[settings.offset_param] = token.offset
        for end, second in (("min", token.since), ("max", token.until)):
            if second is not None:
                params[f"{self.listing.filter_field}[{end}]"] = second
        return params

    def _request_page(self, token: PageToken) -> Page:
        """Send one request, and read its page.

        Raises:
            TransientError: If another try may help.
            RequestError: If none will.
        """
        request = self.get_http_request(page=PageContext(None, token))
        prepared = self.build_prepared_request(
            method=request.method, url=request.url, params=request.encode_params(), headers=request.headers
        )
        response = send(self.requests_session, prepared, self.timeout)
        self.validate_response(response)
        return self.parse_response(response)

    # The response.

    @override
    def response_error_message(self, response: requests.Response) -> str:
        """Describe a response by its status alone: a body may hold anything."""
        return f"answered {errors.describe_status(response.status_code)}"

    @override
    def validate_response(self, response: requests.Response) -> None:
        """Raise unless the status is 200."""
        check_status(response, self.response_error_message(response), retried=self.extra_retry_statuses)

    @override
    def parse_response(self, response: requests.Response) -> Page:  # type: ignore[override]  # its records come later
        """Return the page of a response."""
        warning = f"{self.name}: {REPLACED_TEXT}"
        on_replaced = partial(self.sync_context.log_once, warning, level=logging.WARNING)
        return read_page(response.content, self._plan.decoder, on_replaced=on_replaced)

    @cached_property
    def _request_name(self) -> str:
        """Stream and path, as messages name them."""
        return f"{self.name}: /" + self.get_url(None).split("://", 1)[1].split("/", 1)[1]

    def failure(self, what: str) -> StreamError:
        """Return the error that fails the stream, with its name and path before what happened."""
        return StreamError(f"{self._request_name} {what}")

    @override  # type: ignore[misc]  # final, but nothing else of the SDK sees one stream end
    def sync(self, context: Context | None = None) -> None:
        """Sync the stream; where the run goes on without it, log why it failed and write a STATE."""
        try:
            super().sync(context)
        except Exception as error:  # noqa: BLE001 - raised again where it ends the run
            self.sync_context.fail_stream(self.name, error)
            self._write_state()

    # The pages.

    @cached_property
    def _rules(self) -> PagingRules:
        return PagingRules.for_list(self.settings, self.listing, self.time_field, self.sync_context.started)

    @cached_property
    def _facts(self) -> ListFacts:
        return ListFacts(full=self.settings.page_size)

    @override
    def get_new_paginator(self, span: Span = WHOLE) -> ListPaginator:
        """Return a paginator at the top of the list, or of a span of it."""
        return new_paginator(self._rules, span, self._facts)

    def _read_span(self, span: Span) -> Iterator[tuple[Page, Sequence[int], Sequence[Span]]]:
        """Read a span of the list; yield each page, the indexes of its new records, and the rest of the span."""
        # A test of the connection takes one record, and has no use for a second page.
        ahead = 0 if self.is_test else self.settings.concurrency
        paginator = self.get_new_paginator(span)
        for part in read_pages(paginator, self._fetcher.fetch, self._fetcher.schedule, ahead=ahead):
            # Before the records: who stops the run now has been warned.
            for level, lines in ((logging.WARNING, self._facts.warnings), (logging.INFO, self._facts.notes)):
                for line in lines:
                    self.sync_context.log_once(f"{self._request_name} {line}", level=level)
            yield part

    def chunks(self) -> Iterator[Chunk]:
        """Read the chunks to emit; each counts as emitted when the next one is requested."""
        sync = self.sync_context
        self._counts = counts = sync.progress.begin(self.name)
        if not all(type(stream_map) is SameRecordTransform for stream_map in self.stream_maps):
            counts.sent = dict.fromkeys(self._sent_names, 0)
        if self._plan.sends_personal_key:
            message = "is personal data, but the key, and goes out as it is: set `hash_key` to have it hashed"
            self.logger.warning("%s: `%s` %s", self.name, self.primary_keys[0], message)
        self._fetcher = PageFetcher(
            self._request_page,
            name=self._request_name,
            settings=self.settings,
            limiter=sync.limiter,
            logger=sync.logger,
            on_request=counts.count_request,
            on_retry=counts.count_retry,
            tries_once=self.is_test,
        )
        key = self.replication_key if self.replication_method == REPLICATION_INCREMENTAL else None
        chunks = read_stream(
            self._read_span,
            self.stream_state if key else {},
            name=self.name,
            key=key,
            settings=self.settings,
            rules=self._rules,
            log_once=sync.log_once,
        )
        try:
            for chunk in chunks:
                # A test of the connection takes one record.
                emitted = replace(chunk, indexes=chunk.indexes[:1], state=None) if self.is_test else chunk
                yield emitted
                counts.count_records(len(emitted.indexes), chunk.reread, chunk.reached, chunk.total)
                if self.is_test and chunk.indexes:
                    return
        except UnreadableListError as error:
            raise self.failure(f"cannot be read whole: {error}") from None
        finally:
            self._fetcher.close()
            counts.end()
            if (undeclared := self._plan.describe_undeclared()) is not None:
                self.logger.warning("%s: %s", self.name, undeclared)

    # The records.

    def _read_records(self, chunk: Chunk) -> Iterator[Record]:
        """Yield the records of a chunk as they go out.

        Raises:
            StreamError: If one cannot be read, or has a value that cannot be coerced.
        """
        page = chunk.page
        if page is None:
            return
        if page.has_unreadable_times and self.replication_key:
            message = (
                f"{self.name}: a record's `{self.time_field}` is neither Unix seconds nor ISO 8601 (milliseconds are "
                "not supported), so it sets no bookmark: a list of such records is read whole in each run"
            )
            self.sync_context.log_once(message, level=logging.WARNING)
        for index in chunk.indexes:
            self._record_key = page.keys[index]
            try:
                yield cast("Record", self._plan.decoder.read(page.records[index]))
            except InvalidValueError as error:
                raise self._record_failure(f", {error}") from None

    def _record_failure(self, what: str) -> StreamError:
        """Return the error of the record that is being read or written."""
        return self.failure(f"record {self._plan.format_key(self._record_key)}{what}")

    @override
    def request_records(self, context: Context | None) -> Iterator[Record]:
        """Yield records, as structs where none is mapped; also write STATE as it changes, and ACTIVATE_VERSION."""
        writer = self._tap.message_writer
        for chunk in self.chunks():
            if chunk.page is not None and self.can_write_unmodified and isinstance(writer, BufferedWriter):
                self._write_unmodified = writer.record_writer(
                    self.name, extracted=chunk.page.arrived, version=self._stream_version
                )
            yield from self._read_records(chunk)
            if chunk.state is not None:
                self._save_state(chunk.state)
            if isinstance(writer, BufferedWriter):
                writer.flush()
        self._activate_version()
        self._write_state()

    @cached_property
    def _plan(self) -> Plan:
        """The stream's plan, which decodes its records."""
        return Plan(
            SCHEMAS.get_schema(self.name),
            self.effective_schema,
            select_fields(self.effective_schema, self.mask),
            keys=list(filter(None, [*self.primary_keys, self.replication_key])),
            config=self.config,
            time=self.time_field,
            as_dicts=not self.can_write_unmodified,
            on_invalid=self._count_nulled if self.settings.on_invalid_value == "null" else None,
        )

    def _count_nulled(self, field: str, error: InvalidValueError) -> None:
        """Count a value that becomes null, and warn of the first one of its field."""
        self._counts.nulled += 1
        message = f"{self.name}: field `{field}`: {error.reason}; invalid values become null"
        self.sync_context.log_once(message, level=logging.WARNING, once_per=f"{self.name}.{field}")

    # RECORD messages.

    @cached_property
    def _sent_names(self) -> Sequence[str]:
        """The stream names that records are sent under, each once."""
        maps = (stream_map for stream_map in self.stream_maps if not isinstance(stream_map, RemoveRecordTransform))
        return list(dict.fromkeys(stream_map.stream_alias for stream_map in maps))

    @cached_property
    def can_write_unmodified(self) -> bool:
        """Whether records bypass the SDK: no stream maps, no flattening, nothing deselected in free-form objects."""
        maps = self.stream_maps
        return (
            len(maps) == 1
            and type(maps[0]) is SameRecordTransform
            and not maps[0].flattening_enabled
            and maps[0].stream_alias == self.name
            and all(is_selected or declares(self.effective_schema, path) for path, is_selected in self.mask.items())
        )

    @override
    def _write_record_message(self, record: Record) -> None:
        """Write a record unmodified if selection and maps would leave it unchanged."""
        try:
            if self._write_unmodified is not None:
                self._write_unmodified(record)
            else:
                super()._write_record_message(record)
        except (RecursionError, ValueError, TypeError, UnwritableRecordError):
            raise self._record_failure(UNWRITABLE) from None

    @override
    def _generate_schema_messages(self) -> Generator[SchemaMessage, None, None]:
        """Replace missing key properties with an empty list, which targets made with singer-python require."""
        for message in super()._generate_schema_messages():
            message.key_properties = message.key_properties or []
            yield message

    @override
    def _generate_record_messages(self, record: Record) -> Generator[RecordMessage, None, None]:
        """Apply selection and maps, and name the record that they cannot be applied to."""
        sent = self._counts.sent
        try:
            for message in super()._generate_record_messages(record):
                if sent is not None:
                    sent[message.stream] += 1
                yield message
        except RecursionError:
            raise self._record_failure(UNWRITABLE) from None
        except Exception as error:  # noqa: BLE001 - an expression may raise anything, with the record in its text
            what = f", which `stream_maps` cannot be applied to ({type(error).__name__}): check its expressions"
            raise self._record_failure(what) from None

    # BATCH messages.

    @override
    def get_batches(
        self, batch_config: BatchConfig, context: Context | None = None
    ) -> Iterator[tuple[BaseBatchFileEncoding, list[str]]]:
        """Write the records to files, and close the open ones before a STATE covers them."""
        batches = Batches(batch_config, f"{self.tap_name}--{self.name}")
        pages = ((self._named_records(chunk), chunk.state) for chunk in self.chunks())
        with self.get_record_counter() as counter, self.get_sync_timer():
            try:
                for manifest in batches.write(pages, self._save_state):
                    yield batch_config.encoding, manifest
            except UnwritableRecordError:
                raise self._record_failure(UNWRITABLE) from None
            counter.increment(self._counts.emitted)
        self._write_state()

    def _named_records(self, chunk: Chunk) -> Iterator[tuple[str, Record]]:
        """Yield records as they go out, each with the name that it goes by."""
        for record in self._read_records(chunk):
            if self.can_write_unmodified:
                yield self.name, record
            else:
                for message in self._generate_record_messages(record):
                    yield message.stream, message.record

    @override
    def _write_batch_message(self, encoding: BaseBatchFileEncoding, manifest: list[str]) -> None:
        """Write the message for the batch's own stream alias; the STATE that covers it follows."""
        for message in self._generate_batch_messages(encoding, list(manifest)):
            if isinstance(manifest, Manifest) and message.stream == manifest.alias:
                self._tap.write_message(message)

    # STATE and ACTIVATE_VERSION.

    def _save_state(self, state: StreamState) -> None:
        """Write the STATE that covers all records so far."""
        key = self.replication_key or ""
        types = self.schema.get("properties", {}).get(key, {}).get("type", [])
        write_state(state, self.stream_state, key, as_text="string" in types)
        self._write_state()

    def _write_state(self) -> None:
        """Write a STATE even if it is unchanged, unlike the SDK: many targets drop theirs at each RECORD."""
        _ = self.stream_state  # Adds the stream to the state.
        self._tap.write_message(StateMessage(value=self.tap_state))

    @override
    def generate_child_contexts(self, record: Record, context: Context | None) -> Iterator[Context | None]:
        """Return no contexts, which are for child streams: the SDK would evaluate `__filter__` again."""
        return iter(())

    @override
    def _increment_stream_state(self, latest_record: Record, *, context: Context | None = None) -> None:
        """Leave the bookmark to `_save_state`: records come newest first, so the last one has not its time."""

    @override
    def _write_starting_replication_value(self, context: Context | None) -> None:
        """Leave the start of a run to `DueSpans`."""

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """Set no limit to bookmarks here: `DueSpans` does."""

    @override
    def _write_activate_version_message(self, full_table_version: int) -> None:
        """Hold the message back until every record is out: a run that dies before must not empty the table."""

    def _activate_version(self) -> None:
        """Write the message that was held back, for each name that records went out by."""
        # A test has read one record, and the message would delete all others.
        if self._stream_version is None or self.is_test:
            return
        for name in self._sent_names:
            refusal = self._counts.find_refusal(name, may_miss_records=bool(self._facts.warnings))
            if refusal is None:
                self._tap.write_message(ActivateVersionMessage(stream=name, version=self._stream_version))
            else:
                self.logger.warning("%s: %s", self.name, refusal)

    # The catalog and the log.

    @property
    @override
    def _singer_catalog_entry(self) -> CatalogEntry:
        """Offer the replication keys; which of them is used is the user's choice."""
        entry = super()._singer_catalog_entry
        if self.valid_replication_keys:
            entry.metadata.root.valid_replication_keys = list(self.valid_replication_keys)
        return entry

    @override
    def log(self, message: str, *args: Any, level: int = logging.INFO, **kwargs: Any) -> None:
        """Demote the SDK's traceback to DEBUG: the command line reports the error."""
        if message.startswith("An unhandled error occurred"):
            level = logging.DEBUG
        super().log(message, *args, level=level, **kwargs)
