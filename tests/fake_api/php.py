"""Records as a PHP server sends them, where a value's type is no more than a habit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MONEY = ("amount", "amount_refunded", "added_tax", "setup_amount")
COUNTS = ("charges", "taxable", "email_last_sent")
ARRAYS = ("methods_active", "methods_supported", "logs")
NESTED = ("items", "subscriptions")


def as_php(records: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Return each record as PHP would.

    An empty object becomes `[]`, flags and counts become strings, money is a number in every fifth record,
    `occurred` an integer in every third, and in every seventh an array with something in it is an object with
    numbers for keys.
    """
    return (_as_php(record, number) for number, record in enumerate(records))


def _as_php(record: dict[str, Any], number: int) -> dict[str, Any]:
    sent = record | {name: str(record[name]) for name in COUNTS if name in record}
    if "is_paid" in sent:
        sent["is_paid"] = "1" if sent["is_paid"] else "0"
    if sent.get("metadata") == {}:
        sent["metadata"] = []
    if number % 3 == 0 and "occurred" in sent:
        sent["occurred"] = int(sent["occurred"])
    if number % 5 == 0:
        sent |= {name: _number(sent[name]) for name in MONEY if name in sent}
    if number % 7 == 0:
        keyed = {name: {str(index): value for index, value in enumerate(sent.get(name) or ())} for name in ARRAYS}
        sent |= {name: found for name, found in keyed.items() if found}
    return sent | {name: [_as_php(part, number) for part in sent[name]] for name in NESTED if name in sent}


def _number(amount: str) -> float:
    """Return an amount as a JSON number, whole if it has no decimals."""
    return float(amount) if "." in amount else int(amount)
