"""Parameter names and limits of each payments API: data, no behaviour.

Adding a provider is adding one value to `PROVIDERS`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Listing:
    """One list of a provider's API.

    Attributes:
        filter_field: The API's name of the record's time in `field[min]` and `field[max]`, both inclusive, in
            Unix seconds; None where the list cannot be filtered by time.
        max_offset: The largest offset that the API accepts; None where any is.
    """

    filter_field: str | None = None
    max_offset: int | None = None


@dataclass(frozen=True)
class Provider:
    """One payments API: the defaults of the settings that depend on it, and its lists.

    Attributes:
        base_url: Default of the setting of that name; None where it must be set.
        limit_param: Default of the setting of that name.
        requests_per_minute: Default of the setting of that name; None is no limit.
        earliest: The Unix second before which records are too few to be worth windows of their own.
        listings: The lists by stream name; a stream that is not named has neither filter nor cap.
    """

    base_url: str | None
    limit_param: str
    requests_per_minute: int | None
    earliest: int = 0
    listings: Mapping[str, Listing] = field(default_factory=dict)

    def listing(self, stream: str) -> Listing:
        """Return the limits of one list."""
        return self.listings.get(stream, Listing())


PROVIDERS: Mapping[str, Provider] = {
    "generic": Provider(base_url=None, limit_param="limit", requests_per_minute=None),
    # Filters and largest offsets are those of ChargeDesk's public documentation; the pace is that of another program
    # that reads it, since the API publishes no limit.
    "chargedesk": Provider(
        base_url="https://api.chargedesk.com/v1/",
        limit_param="count",
        requests_per_minute=60,
        earliest=1_262_304_000,  # 2010-01-01T00:00:00Z
        listings={
            "charges": Listing(filter_field="occurred", max_offset=50_000),
            "customers": Listing(filter_field="first_seen", max_offset=50_000),
            "subscriptions": Listing(filter_field="created", max_offset=10_000),
            "products": Listing(filter_field="created", max_offset=10_000),
        },
    ),
}
