"""Records made to fit the types that their schema declares, whatever the server sent.

Most records have one of a few shapes: the same fields with values of the same types. Coercions are planned
once per shape, and only the fields that need one are touched afterwards.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tap_payments.errors import NonFiniteError
from tap_payments.records.exact_json import (
    ENCODER,
    MAX_INTEGER_DIGITS,
    ExactNumber,
    NonFinite,
    number_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    Coercion = Callable[[Any], Any]
    Shape = tuple[object, ...]
    OnInvalid = Callable[[str, "InvalidValueError"], None]

# A list whose records have ever new fields must not fill the memory with their shapes.
MAX_SHAPES = 1000
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,6})?", re.ASCII)
_is_number = NUMBER.fullmatch
FLAGS = {"1": True, "0": False, "true": True, "false": False, "": None}
MONEY_FORMAT = "x-singer.decimal"


class InvalidValueError(Exception):
    """A value has a type that cannot be made the declared one.

    The text names the field and both types, never the value.

    Attributes:
        reason: Both types.
        path: The field.
        never_null: Whether the field may not become null instead.
    """

    def __init__(self, declared: str, value: object) -> None:
        self.reason = f"declared {declared}, arrived as {_arrived(value)}"
        super().__init__(self.reason)
        self.path = ""
        self.never_null = False

    def within(self, part: str) -> InvalidValueError:
        """Note that the field stands inside another, or in a place of an array."""
        dot = "." if self.path and not self.path.startswith("[") else ""
        self.path = f"{part}{dot}{self.path}"
        return self

    @override
    def __str__(self) -> str:
        return f"field `{self.path}`: {self.reason}"


class Coercer:
    """Makes records fit one schema, in place."""

    def __init__(
        self,
        schema: Mapping[str, Any],
        *,
        on_invalid: OnInvalid | None = None,
        never_null: Collection[str] = (),
        path: str = "",
    ) -> None:
        """Read the declared types.

        Args:
            schema: A JSON Schema of type object; at any depth, a type that is a choice of several is left alone.
            on_invalid: Is told the field and the error of each value that cannot be made to fit, which becomes null
                where its type allows that; None raises the error.
            never_null: Fields that never become null, whatever their type allows.
            path: The field that the object stands in, as errors name it.
        """
        declared = schema.get("properties", {})
        self._on_invalid = on_invalid
        self._never_null = {name for name, types in declared.items() if name in never_null or not _allows_null(types)}
        self._coercions = {
            name: _coercions_for(
                types,
                f"{path}.{name}" if path else name,
                None if name in never_null else on_invalid,
            )
            for name, types in declared.items()
        }
        self._plans: dict[Shape, list[tuple[str, Coercion]]] = {}

    @property
    def fields(self) -> Collection[str]:
        """The declared fields."""
        return self._coercions.keys()

    def coerce(self, record: dict[str, Any]) -> dict[str, Any]:
        """Make one record fit.

        Args:
            record: Changed in place.

        Returns:
            The same record.

        Raises:
            InvalidValueError: If a value cannot be made to fit.
        """
        shape = (*record, *map(type, record.values()))
        plan = self._plans.get(shape)
        if plan is None:
            plan = self._learn(record, shape)
        for name, fix in plan:
            value = record[name]
            try:
                fixed = fix(value)
            except InvalidValueError as misfit:
                misfit.never_null = name in self._never_null
                raise misfit.within(name) from None
            if fixed is not value:
                record[name] = fixed
        return record

    def coerce_non_finite(self, record: dict[str, Any]) -> dict[str, Any]:
        """Make one record fit that may hold NaN or Infinity also where nothing is declared.

        What stands inside a field without declared parts is named by that field alone: the rest is data.

        Args:
            record: Changed in place.

        Returns:
            The same record.

        Raises:
            InvalidValueError: If a value cannot be made to fit.
        """
        self.coerce(record)
        for name, value in list(record.items()):
            field = {name: value}
            for container, place in _non_finite_in(field):
                misfit = InvalidValueError("JSON", container[place])
                if self._on_invalid is None:
                    raise misfit.within(name)
                self._on_invalid(name, misfit)
                container[place] = None
            record[name] = field[name]
        return record

    def _learn(self, record: dict[str, Any], shape: Shape) -> list[tuple[str, Coercion]]:
        plan = []
        for name, value in record.items():
            fix = self._coercions[name](type(value)) if name in self._coercions else None
            if fix is not None:
                plan.append((name, fix))
        if len(self._plans) >= MAX_SHAPES:
            self._plans.clear()
        self._plans[shape] = plan
        return plan


def _arrived(value: object) -> str:
    names = {
        bool: "boolean",
        str: "string",
        list: "array",
        dict: "object",
        type(None): "null",
        NonFinite: "NaN or Infinity",
    }
    return names.get(type(value), "number") + (" of another form" if isinstance(value, str) else "")


def _non_finite_in(container: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Yield each place of NaN or Infinity at any depth: the object or array, and the name or number in it."""
    pending: list[Any] = [container]
    while pending:
        part = pending.pop()
        for place, value in list(part.items() if isinstance(part, dict) else enumerate(part)):
            if isinstance(value, NonFinite):
                yield part, place
            elif isinstance(value, dict | list):
                pending.append(value)


def _kinds(declared: Mapping[str, Any]) -> set[str]:
    types = declared.get("type", [])
    return {types} if isinstance(types, str) else set(types)


def _allows_null(declared: Mapping[str, Any]) -> bool:
    kinds = _kinds(declared)
    return "null" in kinds or not kinds


def _coercions_for(
    declared: Mapping[str, Any], path: str, on_invalid: OnInvalid | None
) -> Callable[[type], Coercion | None]:
    """Return the coercion to the declared type, by the type that arrived; None where nothing is to be done."""
    nullable = _allows_null(declared)
    kinds = _kinds(declared) - {"null"}
    if len(kinds) != 1:
        return lambda _arrived: None
    kind = kinds.pop()
    if kind == "string" and declared.get("format") == MONEY_FORMAT:
        kind = "decimal"
    items = declared.get("items")
    choose_item = _coercions_for(items, f"{path}[]", on_invalid) if items and items.get("type") else None
    inner = Coercer(declared, on_invalid=on_invalid, path=path) if declared.get("properties") else None
    fixes: dict[str, Coercion] = {
        "string": _to_string,
        "number": _to_number,
        "integer": _to_integer,
        "decimal": _to_decimal,
        "boolean": _to_boolean,
        "object": partial(_to_object, inner),
        "array": partial(_to_array, choose_item),
    }
    fix = fixes.get(kind)
    if fix is not None and not nullable:
        fix = partial(_fix_to_non_null, kind, fix)
    elif fix is not None and on_invalid is not None:
        fix = partial(_fix_or_null, fix, on_invalid, path)
    # Types that are right as they arrive; `bool` is not among the numbers, and what is inside a container may be wrong.
    right_types: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "number": (int, Decimal, ExactNumber),
        "integer": (int,),
        "boolean": (bool,),
        "object": () if inner else (dict,),
        "array": () if choose_item else (list,),
    }
    right = right_types.get(kind, ())

    def choose(arrived: type) -> Coercion | None:
        if arrived is type(None):
            return None if nullable else partial(_refuse_null, kind)
        return None if arrived in right else fix

    return choose


def _refuse_null(declared: str, value: object) -> object:
    raise InvalidValueError(declared, value)


def _fix_to_non_null(declared: str, fix: Coercion, value: object) -> object:
    fixed = fix(value)
    if fixed is None:
        raise InvalidValueError(declared, value)
    return fixed


def _fix_or_null(fix: Coercion, on_invalid: OnInvalid, path: str, value: object) -> object:
    try:
        return fix(value)
    except InvalidValueError as misfit:
        on_invalid(path, misfit)
        return None


def _to_string(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return number_text(value)
    if isinstance(value, dict | list):
        try:
            return ENCODER.encode(value).decode()
        except RecursionError:
            raise InvalidValueError("string, which JSON can be if it is not nested too deeply", value) from None
        except NonFiniteError:
            raise InvalidValueError("string, which JSON can be if it holds no NaN or Infinity", value) from None
    if isinstance(value, NonFinite):
        raise InvalidValueError("string", value)
    return str(value)


def _to_number(value: Any) -> int | Decimal | None:
    if isinstance(value, str):
        if value == "":
            return None
        text = value.strip()
        if NUMBER.fullmatch(text):
            is_integer = text.lstrip("+-").isdigit() and len(text) <= MAX_INTEGER_DIGITS
            return int(text) if is_integer else Decimal(text)
    raise InvalidValueError("number", value)


def _to_integer(value: Any) -> int | None:
    number = value if isinstance(value, Decimal) else _to_number(value)
    if number is None or number == int(number):
        return None if number is None else int(number)
    raise InvalidValueError("integer", value)


def _to_decimal(value: Any) -> str | None:
    if type(value) is str:
        if _is_number(value):
            return value
        if value == "":
            return None
        text = value.strip()
        if _is_number(text):
            return text
    elif type(value) is int:
        return str(value)
    elif isinstance(value, Decimal):
        return number_text(value)
    raise InvalidValueError("decimal", value)


def _to_boolean(value: Any) -> bool | None:
    if isinstance(value, str) and value in FLAGS:
        return FLAGS[value]
    if isinstance(value, int | Decimal) and value in {0, 1}:
        return bool(value)
    raise InvalidValueError("boolean", value)


def _to_object(coercer: Coercer | None, value: Any) -> dict[str, Any] | None:
    if value == "":
        return None
    if isinstance(value, list):
        # PHP sends an object whose keys count from 0, or an empty one, as an array.
        value = {str(place): item for place, item in enumerate(value)}
    if not isinstance(value, dict):
        raise InvalidValueError("object", value)
    if coercer is None:
        return value
    return coercer.coerce(value)


def _to_array(choose: Callable[[type], Coercion | None] | None, value: Any) -> list[Any] | None:
    if value == "":
        return None
    if isinstance(value, dict):
        # PHP sends an array whose keys have a gap as an object.
        value = list(value.values())
    if not isinstance(value, list):
        raise InvalidValueError("array", value)
    if choose is None:
        return value
    for place, item in enumerate(value):
        fix = choose(type(item))
        if fix is None:
            continue
        try:
            value[place] = fix(item)
        except InvalidValueError as misfit:
            raise misfit.within(f"[{place}]") from None
    return value
