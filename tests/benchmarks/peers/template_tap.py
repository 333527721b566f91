"""A tap as the SDK's template makes it: what most taps of this kind are, with nothing done for speed.

The classes, properties and hooks are those that the SDK's documentation tells a tap's author to fill in.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk import RESTStream, SchemaDirectory, StreamSchema, Tap
from singer_sdk import typing as th
from singer_sdk.authenticators import BasicAuthenticator
from singer_sdk.helpers.jsonpath import extract_jsonpath
from singer_sdk.pagination import OffsetPaginator
from typing_extensions import override

from tap_payments import schemas

if TYPE_CHECKING:
    from collections.abc import Iterable

    import requests
    from singer_sdk.helpers.types import Context

PAGE_SIZE = 500


class UntilEmpty(OffsetPaginator):
    """Goes on as long as a page holds records."""

    @override
    def has_more(self, response: requests.Response) -> bool:
        return bool(response.json()["data"])


class Charges(RESTStream[int]):
    """The one list that is measured."""

    name = "charges"
    path = "charges"
    primary_keys: ClassVar[tuple[str, ...]] = ("charge_id",)
    records_jsonpath = "$.data[*]"
    schema: ClassVar[StreamSchema[str]] = StreamSchema(SchemaDirectory(schemas))

    @property
    @override
    def url_base(self) -> str:
        return str(self.config["base_url"])

    @property
    @override
    def authenticator(self) -> BasicAuthenticator:
        return BasicAuthenticator(username=self.config["username"], password="")

    @override
    def get_new_paginator(self) -> UntilEmpty:
        return UntilEmpty(start_value=0, page_size=PAGE_SIZE)

    @override
    def get_url_params(self, context: Context | None, next_page_token: int | None) -> dict[str, Any]:
        return {self.config["limit_param"]: PAGE_SIZE, "offset": next_page_token or 0}

    @override
    def parse_response(self, response: requests.Response) -> Iterable[dict[str, Any]]:
        yield from extract_jsonpath(self.records_jsonpath, input=response.json(parse_float=Decimal))


class TemplateTap(Tap):
    """The tap of that one stream."""

    name = "tap-template"
    config_jsonschema: ClassVar[dict[str, Any]] = th.PropertiesList(
        th.Property("base_url", th.StringType, required=True),
        th.Property("username", th.StringType, required=True),
        th.Property("limit_param", th.StringType, default="limit"),
    ).to_dict()

    @override
    def discover_streams(self) -> list[Charges]:
        return [Charges(self)]


if __name__ == "__main__":
    TemplateTap.cli()
