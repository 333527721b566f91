"""Records as a PHP server sends them, where a value's type is no more than a habit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MONEY = ("amount", "amount_refunded", "added_tax", "setup_amount")
COUNTS = ("charges", "taxable", "email_last_sent")
ARRAYS = ("methods_active", "methods_supported", "logs")
NESTED = ("items", "subscriptions")

NUMBER_MONEY_EVERY = 5
INTEGER_TIME_EVERY = 3
KEYED_ARRAYS_EVERY = 7


def as_php(records: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Return each record as PHP would.

    An empty object becomes `[]`, flags and counts become strings, money is a number in every fifth record,
    `occurred` an integer in every third, and in every seventh an array with something in it is an object with
    numbers for keys.
    """
    for number, record in enumerate(records):
        yield _as_php(record, number)


def _as_php(record: dict[str, Any], number: int) -> dict[str, Any]:
    sent = record | {name: str(record[name]) for name in COUNTS if name in record}
    if "is_paid" in sent:
        sent["is_paid"] = "1" if sent["is_paid"] else "0"
    if sent.get("metadata") == {}:
        sent["metadata"] = []
    if number % INTEGER_TIME_EVERY == 0 and "occurred" in sent:
        sent["occurred"] = int(sent["occurred"])
    if number % NUMBER_MONEY_EVERY == 0:
        sent |= {name: _number(sent[name]) for name in MONEY if name in sent}
    if number % KEYED_ARRAYS_EVERY == 0:
        sent |= {name: _keyed(sent[name]) for name in ARRAYS if sent.get(name)}
    return sent | {name: [_as_php(part, number) for part in sent[name]] for name in NESTED if name in sent}


def _keyed(array: list[Any]) -> dict[str, Any]:
    return {str(place): value for place, value in enumerate(array)}


def _number(amount: str) -> float:
    """Return an amount as a JSON number, whole if it has no decimals."""
    return float(amount) if "." in amount else int(amount)
