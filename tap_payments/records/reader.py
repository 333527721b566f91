"""Records of a page, decoded and coerced one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tap_payments.errors import (
    KEY_VALUE_ADVICE,
    VALUE_ADVICE,
    InvalidValueError,
    MalformedBodyError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tap_payments.records.coercion import Coercer
    from tap_payments.records.page import Page


class RecordReader:
    """Decodes records and coerces them to their declared types."""

    def __init__(
        self,
        coercer: Coercer,
        *,
        show_key: Callable[[object], str],
        failure: Callable[[str], Exception],
    ) -> None:
        """Read nothing yet.

        Args:
            coercer: Coerces them.
            show_key: Shows a key as it arrived.
            failure: Makes the error that ends the run, from what happened.
        """
        self._coercer = coercer
        self._show_key = show_key
        self._failure = failure

    def read(self, page: Page, places: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Decode and coerce records of a page, each when it is asked for.

        Args:
            page: The page.
            places: Where on it they stand.

        Yields:
            Each record.

        Raises:
            RunError: If one cannot be read, or has a value that cannot be coerced.
        """
        for place in places:
            try:
                yield self._coercer.coerce(page.record(place))
            except InvalidValueError as error:
                advice = KEY_VALUE_ADVICE if error.never_null else VALUE_ADVICE
                raise self._failure(f"sent record {self._key(page, place)}, {error}: {advice}") from None
            except MalformedBodyError as error:
                raise self._failure(f"sent record {self._key(page, place)}, but {error}") from None

    def _key(self, page: Page, place: int) -> str:
        return self._show_key(page.outline.keys[place])
