"""From a page's token to a checked page: URL, authentication, retries, errors."""

from __future__ import annotations

import logging
import sys
import threading
import time
from abc import ABC
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, cast

from singer_sdk.authenticators import BasicAuthenticator
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.streams.rest import HTTPRequest, PageContext, RESTStream

from tap_payments import errors
from tap_payments.api.prefetch import Prefetcher, TransientError
from tap_payments.api.sessions import make_session
from tap_payments.api.transport import MAX_BODY, BodyTooLargeError, UnreachableError, read_retry_after, send
from tap_payments.errors import ContradictionError, RunError, UnreadableListError
from tap_payments.pagination.paginator import ListPaginator, PageLengths, PageToken
from tap_payments.records.page import MalformedBodyError, Page, UnexpectedBodyError, read_page
from tap_payments.records.timestamps import describe
from tap_payments.replication.windows import Window

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import requests
    from singer_sdk.helpers.types import Context
    from singer_sdk.pagination import BaseAPIPaginator

    from tap_payments.context import Run
    from tap_payments.providers import Listing
    from tap_payments.settings import Settings
    from tap_payments.tap import TapPayments

# Seconds after which waiting is left to whoever starts the runs.
MAX_WAIT = 300
# Seconds that a test of the connection waits at most: somebody sits before it.
TEST_TIMEOUT = 10.0


class WindowTooLongError(Exception):
    """The window's first page is full, and a shorter window will do better; nothing of it was given out."""


@dataclass(frozen=True)
class FetchedPage:
    """A page and when it arrived."""

    page: Page
    arrived: datetime


class PagedStream(RESTStream[PageToken], ABC):
    """One list of the API, read page by page."""

    time_field: ClassVar[str] = "first_seen"
    payload_as_json = False
    allow_redirects = False
    # The coercer has done it, at all depths; the SDK's own makes null of numbers that no float can hold.
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE
    extra_retry_statuses = (
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    )

    def __init__(self, tap: TapPayments) -> None:
        """Belong to a tap.

        Args:
            tap: The tap, whose run the stream takes part in.
        """
        self._local = threading.local()
        super().__init__(tap)
        self._payments_tap = tap
        self._lengths: PageLengths | None = None

    #: The fields that are a record's key.
    primary_keys: ClassVar[tuple[str, ...]] = ()

    @cached_property
    def settings(self) -> Settings:
        """The settings of the run."""
        return self._payments_tap.settings

    @property
    def run(self) -> Run:
        """What the streams of the run share."""
        return self._payments_tap.run

    @property
    def listing(self) -> Listing:
        """Where this list's limits are."""
        return self.settings.provider.listing(self.name)

    # The request.

    @property
    @override
    def url_base(self) -> str:
        return self.settings.base_url

    @override
    def get_url(self, context: Context | None) -> str:
        """Give the list's URL; no setting is ever put into it."""
        return self.url_base + self.path.lstrip("/")

    @cached_property
    def _path(self) -> str:
        """The path as messages name it."""
        return "/" + self.get_url(None).split("://", 1)[1].split("/", 1)[1]

    @cached_property
    @override
    def authenticator(self) -> BasicAuthenticator:
        return BasicAuthenticator(username=self.settings.username, password=self.settings.password)

    @cached_property
    @override
    def user_agent(self) -> str:
        return self.settings.user_agent

    @property
    @override
    def http_headers(self) -> dict[str, str]:
        return {"Accept": "application/json"}

    @property
    @override
    def timeout(self) -> float:  # type: ignore[override]  # requests takes fractions of a second
        timeout = self.settings.request_timeout
        return min(timeout, TEST_TIMEOUT) if self.is_test else timeout

    @property
    def is_test(self) -> bool:
        """Whether this is a test of the connection, which takes one record and tries once."""
        return self.ABORT_AT_RECORD_COUNT is not None

    @property
    @override
    def requests_session(self) -> requests.Session:
        """A session for each thread: sessions are not made to be shared."""
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = make_session()
        return session

    @override
    def get_url_params(self, context: Context | None, next_page_token: PageToken | None) -> dict[str, Any]:
        settings, token = self.settings, next_page_token or PageToken()
        params: dict[str, Any] = {settings.limit_param: settings.page_size}
        if settings.offset_param:
            params[settings.offset_param] = token.offset
        if token.since is not None:
            params[f"{self.listing.filter_field}[min]"] = token.since
        if token.until is not None:
            params[f"{self.listing.filter_field}[max]"] = token.until
        return params

    def _prepare(self, token: PageToken) -> requests.PreparedRequest:
        request: HTTPRequest = self.get_http_request(page=PageContext(None, token))
        return self.build_prepared_request(
            method=request.method, url=request.url, params=request.encode_params(), headers=request.headers
        )

    # The answer.

    @override
    def response_error_message(self, response: requests.Response) -> str:
        """Describe an answer by its status alone: a body may hold anything."""
        return f"answered {errors.describe_status(response.status_code)}"

    @override
    def validate_response(self, response: requests.Response) -> None:
        """Let only a 200 pass.

        Raises:
            TransientError: If the request is worth another try.
            RunError: If it is not.
        """
        status = response.status_code
        if status == HTTPStatus.OK:
            return
        message = self.response_error_message(response)
        if status in self.extra_retry_statuses:
            raise TransientError(
                message,
                advice=errors.advise(status),
                retry_after=read_retry_after(response.headers.get("Retry-After")),
                holds_all=status == HTTPStatus.TOO_MANY_REQUESTS,
            )
        raise self.failure(f"{message}: {errors.advise(status)}")

    @override
    def parse_response(self, response: requests.Response) -> Iterable[dict[str, Any]]:
        page = self._read(response.content)
        return [page.record(place) for place in range(len(page.outline.keys))]

    def _read(self, content: bytes) -> Page:
        try:
            return read_page(
                content, key=self.primary_keys[0], time=self.time_field, filter_time=self.listing.filter_field
            )
        except MalformedBodyError as error:
            raise TransientError(f"answered 200, but {error}", advice=errors.BODY_ADVICE) from None
        except ContradictionError as error:
            raise TransientError(f"answered 200, but {error}", advice=error.advice) from None
        except UnexpectedBodyError as error:
            raise self.failure(f"answered 200, but {error}: {errors.BODY_ADVICE}") from None

    def failure(self, what: str) -> RunError:
        """Make the error that ends the run, with stream and path before what happened."""
        return RunError(f"{self.name}: {self._path} {what}")

    # Tries.

    def _send(self, token: PageToken) -> requests.Response:
        try:
            return send(self.requests_session, self._prepare(token), self.timeout)
        except UnreachableError as error:
            raise self.failure(f"was not asked: {error}") from None
        except BodyTooLargeError:
            raise self.failure(f"answered with more than {MAX_BODY >> 20} MiB: {errors.SIZE_ADVICE}") from None

    def _try_page(self, token: PageToken) -> FetchedPage:
        self.run.progress.count_request(self.name, self.run.pace.acquire())
        response = self._send(token)
        self.validate_response(response)
        return FetchedPage(self._read(response.content), datetime.now(tz=timezone.utc))

    def fetch_page(self, token: PageToken, guess: bool, failed: TransientError | None) -> FetchedPage:  # noqa: FBT001
        """Fetch one page, with as many tries as the settings allow.

        Args:
            token: Which page.
            guess: Whether nobody waits for it yet; it is tried once then.
            failed: How an earlier try as a guess failed.

        Raises:
            TransientError: If a guess failed.
            RunError: If the page cannot be had.
        """
        tries = 0 if failed is None else failed.tries - 1
        while True:
            if failed is not None:
                tries += 1
                self._wait_to_retry(failed, tries)
            try:
                return self._try_page(token)
            except TransientError as error:
                if guess:
                    if error.holds_all:
                        self.run.pace.hold(min(self._wait_after(error, 1), MAX_WAIT))
                    raise
                failed = error

    def _wait_after(self, error: TransientError, tries: int) -> float:
        backoff = min(self.settings.backoff_factor * 2.0 ** (tries - 1), MAX_WAIT)
        return max(backoff, error.retry_after or 0.0)

    def _wait_to_retry(self, error: TransientError, tries: int) -> None:
        """Wait after a try that failed, or end the run."""
        wait = self._wait_after(error, tries)
        if wait > MAX_WAIT:
            back = describe(time.time() + wait)
            raise self.failure(f"{error.reason} and asks to wait {wait:.0f} s: run again after {back}")
        if self.is_test:
            raise self.failure(f"{error.reason}, and --test tries once: {error.advice}")
        if tries > self.settings.max_retries:
            times = f", {tries} times in a row" if tries > 1 else ""
            raise self.failure(f"{error.reason}{times}: {error.advice}")
        self.logger.warning(
            "%s: %s %s; trying again in %.12g s (%d of %d)",
            self.name,
            self._path,
            error.reason,
            round(wait, 1),
            tries,
            self.settings.max_retries,
        )
        self.run.progress.count_retry(self.name)
        if error.holds_all:
            self.run.pace.hold(wait)
        else:
            self.run.pace.wait(wait)

    # The list.

    @cached_property
    def prefetcher(self) -> Prefetcher[PageToken, FetchedPage]:
        """What keeps the next pages in flight."""
        return Prefetcher(self.fetch_page, threads=self.settings.concurrency, stop=self.run.stop)

    @override
    def get_new_paginator(self, window: Window | None = None) -> BaseAPIPaginator[Any]:
        """Begin at the top of the list, or of a window of it."""
        window, settings, listing = window or Window(None, None), self.settings, self.listing
        self._lengths = self._lengths or PageLengths(full=settings.page_size)
        return ListPaginator(
            settings.page_size,
            overlap=settings.page_overlap,
            single_page=not settings.offset_param,
            check_total=settings.check_total,
            max_offset=listing.max_offset,
            filterable=listing.filter_field is not None,
            since=window.since,
            until=window.until,
            earliest=settings.provider.earliest,
            now=self.run.started,
            lengths=self._lengths,
        )

    def _take(self, paginator: ListPaginator) -> FetchedPage:
        """Take the page that the paginator asks for, and feed it.

        Raises:
            RunError: If the list cannot be read whole, or an answer contradicts itself at every try.
        """
        token, tries = paginator.token, 0
        while True:
            fetched = self.prefetcher.take(token)
            try:
                paginator.advance(fetched.page.outline)
            except ContradictionError as error:
                tries += 1
                failed = TransientError(f"answered 200, but {error}", advice=error.advice, tries=tries)
                self.prefetcher.retry(token, failed)
            except UnreadableListError as error:
                raise self.failure(f"cannot be read whole: {error}") from None
            else:
                return fetched

    def read_window(
        self, window: Window | None = None, *, may_give_up: bool = False
    ) -> Iterator[tuple[FetchedPage, list[int]]]:
        """Read the list, or a window of it, to its end.

        Args:
            window: The span of time to read; None is the whole list.
            may_give_up: Whether to give up if the first page is full.

        Yields:
            Each page, with the places of the records in it that are new.

        Raises:
            WindowTooLongError: If the window is given up.
            RunError: If the list cannot be read whole.
        """
        paginator = cast(ListPaginator, self.get_new_paginator(window))
        # A test of the connection takes one record, and has no use for a second page.
        ahead = self.ABORT_AT_RECORD_COUNT is None
        self.prefetcher.want(paginator.token)
        while not paginator.finished:
            if not ahead:
                self.prefetcher.want(paginator.token)
            full = paginator.lengths.full
            fetched = self._take(paginator)
            if may_give_up and paginator.count == 1 and len(fetched.page.outline.keys) >= full:
                raise WindowTooLongError
            if ahead and not paginator.finished:
                guesses = paginator.guesses(self.settings.concurrency - 1)
                self.prefetcher.want(paginator.token, guesses)
            yield fetched, paginator.fresh
        if paginator.fills_page:
            self.run.log_once(
                f"{self.name}: records of one second fill a page; if their order changes between requests, some may be "
                "missed: raise `page_size` if the API allows it",
                level=logging.WARNING,
            )
        if paginator.ignores_offset:
            self.logger.warning(
                "%s: %s ignores the offset; its one page of %d records counts as the whole list",
                self.name,
                self._path,
                self._lengths.longest if self._lengths else 0,
            )

    @override
    def request_records(self, context: Context | None) -> Iterator[dict[str, Any]]:
        """Give the records of the whole list as the API sent them."""
        for fetched, fresh in self.read_window():
            yield from map(fetched.page.record, fresh)
