"""The columns of each stream, made from the schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from tap_payments.records.schema import SCHEMAS
from tap_payments.streams import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# A name that begins with `datetime.datetime.` is what makes the SDK declare a timestamp.
TIMESTAMP = "datetime.datetime.fromtimestamp(int({0}), datetime.timezone.utc).isoformat() if {0} else None"
STREAM_MAPS = {
    "charges": {"occurred_at": TIMESTAMP.format("occurred")},
    "customers": {"first_seen_at": TIMESTAMP.format("first_seen")},
}

HEAD = """\
# Columns

What each table holds. This page is made from the schemas in `tap_payments/schemas/` by `make docs`.

- **Type** is what the SCHEMA message declares. `decimal` is a string with `"format": "x-singer.decimal"`, which becomes
  NUMERIC in PostgreSQL. Every column but the key may be null.
- **Personal** columns are those that the setting `personal_data` hashes or drops.
- Times are sent as the API sends them: Unix seconds in UTC, as text in `charges.occurred`, as a number in `first_seen`.

## Times as timestamps

A stream map adds a column that is a timestamp:

```yaml
{maps}```

In PostgreSQL `occurred_at` is then a `timestamp`, in UTC. A stream map costs CPU, since each record then takes the
SDK's way: 30,000 charges took 2.6 s with this one and 1.3 s without. In SQL the same is
`to_timestamp(occurred::bigint)`.

## Queries

`make demo` runs these on the account that it loads. They expect the tables in the `search_path`.
"""


def page(queries: Iterable[str]) -> str:
    """Return the page, with these queries."""
    parts = [HEAD.format(maps=yaml.safe_dump({"stream_maps": STREAM_MAPS}, width=float("inf"), sort_keys=False))]
    parts.extend(f"```sql\n{query.strip()}\n```\n" for query in queries)
    for name in STREAMS:
        schema = SCHEMAS.get_schema(name)
        parts.append(f"## {name}\n\n{schema['description']}\n")
        rows = ["| column | type | personal | meaning |", "| --- | --- | --- | --- |"]
        rows += [
            f"| `{column}` | {kind} | {'yes' if personal else ''} | {meaning} |"
            for column, kind, personal, meaning in _columns(schema, "")
        ]
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def _columns(schema: dict[str, Any], path: str, *, personal: bool = False) -> Iterator[tuple[str, str, bool, str]]:
    for name, declared in schema.get("properties", {}).items():
        column, is_personal = path + name, personal or bool(declared.get("x-personal"))
        yield column, _kind(declared), is_personal, declared.get("description", "").replace("|", "\\|")
        yield from _columns(declared, f"{column}.", personal=is_personal)
        if isinstance(items := declared.get("items"), dict):
            yield from _columns(items, f"{column}[].", personal=is_personal)


def _kind(declared: dict[str, Any]) -> str:
    """Return the declared type as a reader names it."""
    kinds = declared.get("type", "any")
    kind = next((one for one in kinds if one != "null"), "any") if isinstance(kinds, list) else str(kinds)
    return "decimal" if declared.get("format") == "x-singer.decimal" else kind
