"""Fields that records have and their schema does not declare."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tap_payments.records.schema import SchemaRules

# Names that are kept at most, and that a message shows of them, each cut to a length.
MAX_NAMES = 1000
SHOWN_NAMES = 20
NAME_LENGTH = 60
IDENTIFIER = re.compile(r"[A-Za-z0-9_.\[\]-]+")


class UndeclaredFields:
    """The names of a stream's undeclared fields, in the order in which they came."""

    def __init__(self, rules: SchemaRules) -> None:
        """Note nothing yet.

        Args:
            rules: What becomes of undeclared fields. Where personal data must not pass, neither may names that
                are more than an identifier.
        """
        self._rules = rules
        self._names: dict[str, None] = {}

    def __bool__(self) -> bool:
        return bool(self._names)

    def add(self, name: str) -> None:
        """Note a field.

        Args:
            name: Its name, with that of the field that it stands in before a dot.
        """
        if len(self._names) < MAX_NAMES:
            self._names[name] = None

    def describe(self) -> str:
        """Return the line that names them; the names are the API's, which may put anything into them."""
        protects = self._rules.protects
        names = [name for name in self._names if not protects or IDENTIFIER.fullmatch(name)]
        shown = [f"`{_printable(name)}`" for name in names[:SHOWN_NAMES]]
        if others := len(self._names) - len(shown):
            shown.append(f"{others}{' or more' if len(self._names) == MAX_NAMES else ''} others")
        way_on = (
            f"`personal_data: {self._rules.personal_data}` lets none of them pass"
            if protects
            else "declare them in the catalog to load them"
        )
        return f"fields that the schema does not declare are left out ({', '.join(shown)}): {way_on}"


def _printable(name: str) -> str:
    text = "".join(letter if letter.isprintable() and letter != "`" else "?" for letter in name[: NAME_LENGTH + 1])
    return text if len(text) <= NAME_LENGTH else f"{text[:NAME_LENGTH]}..."
