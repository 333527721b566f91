"""Fields that records have and their schema does not declare."""

from __future__ import annotations

# Names that are kept at most, and that a message shows of them, each cut to a length.
MAX_NAMES = 1000
SHOWN_NAMES = 20
NAME_LENGTH = 60


class UndeclaredFields:
    """The names of a stream's undeclared fields, in the order in which they came."""

    def __init__(self) -> None:
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
        shown = [f"`{_printable(name)}`" for name in list(self._names)[:SHOWN_NAMES]]
        if others := len(self._names) - len(shown):
            shown.append(f"{others}{' or more' if len(self._names) == MAX_NAMES else ''} others")
        fields = ", ".join(shown)
        return (
            f"fields that the schema does not declare are left out ({fields}): declare them in the catalog to load them"
        )


def _printable(name: str) -> str:
    text = "".join(letter if letter.isprintable() and letter != "`" else "?" for letter in name[: NAME_LENGTH + 1])
    return text if len(text) <= NAME_LENGTH else f"{text[:NAME_LENGTH]}..."
