"""ACTIVATE_VERSION messages, at which a target deletes what did not come with this version."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging


class PendingVersion:
    """Holds the version of a stream back until every record is out: a run that dies before must delete nothing."""

    def __init__(self, stream: str, logger: logging.Logger) -> None:
        """Hold nothing yet.

        Args:
            stream: Name of the stream.
            logger: Where a WARNING goes.
        """
        self._stream = stream
        self._logger = logger
        self._version: int | None = None

    def hold(self, version: int) -> None:
        """Hold back a version."""
        self._version = version

    def release(self, *, emitted: int) -> int | None:
        """Return the version to activate after the last record; None where there is none, or nothing was emitted.

        Args:
            emitted: How many records went out. After none, the message would delete all that the target has.
        """
        version, self._version = self._version, None
        if version is None or emitted:
            return version
        self._logger.warning(
            "%s: the list is empty, so no ACTIVATE_VERSION message goes out and the target deletes nothing: "
            "check `username` and `base_url` if the account has records",
            self._stream,
        )
        return None
