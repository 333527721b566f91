"""The targets that are tried, as `targets.yml` declares them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """A target, and how to try it; `targets.yml` says what each field is."""

    name: str
    version: str
    program: str
    reader: str
    settings: JSON
    advice: str
    files: str = "*{stream}*"
    arguments: tuple[str, ...] = ()
    tap: JSON = field(default_factory=dict)
    hard: JSON = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    python: str = ""
    into: str = ""

    @property
    def requirements(self) -> tuple[str, ...]:
        """The packages to install."""
        return (*(self.packages or (f"{self.name}=={self.version}",)), *self.also)

    @property
    def title(self) -> str:
        """Its name and version, as the table has it."""
        return f"`{self.name}` {self.version}"


def fill_in(template: Any, names: Mapping[str, Any]) -> Any:
    """Return settings with the values of names; a text that is one name alone becomes its value."""
    if isinstance(template, dict):
        return {name: fill_in(value, names) for name, value in template.items()}
    if isinstance(template, str):
        return names.get(template[1:-1], template.format(**names))
    return template


def _targets() -> dict[str, Target]:
    declared: dict[str, JSON] = yaml.safe_load(Path(__file__).with_name("targets.yml").read_text(encoding="utf-8"))
    for fields in declared.values():
        fields.update({name: tuple(value) for name, value in fields.items() if isinstance(value, list)})
    return {name: Target(name, **fields) for name, fields in declared.items()}


TARGETS = _targets()
