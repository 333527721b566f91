"""Outcomes of a target, in the words of the table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from tests.fake_api.providers import STREAMS
from tests.support.tap_runs import catalog_with
from tests.targets.trial import AMOUNTS, INCREMENTAL, UNDECLARED

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.targets.declarations import JSON
    from tests.targets.trial import Experiment, Run

KEY = STREAMS["charges"].key
DELETED_AT = "_sdc_deleted_at"
NONE = "-"
REPLACED = "only the last run's rows"


@dataclass(frozen=True)
class Outcome:
    """The cells of a target."""

    rows: str
    keys: str = NONE
    amounts: str = NONE
    deletions: str = NONE
    undeclared: str = NONE
    state: str = NONE


def judge(experiment: Callable[[str], Experiment]) -> Outcome:
    """Try a target.

    Args:
        experiment: Makes a place and an account of its own, by a name.
    """
    nightly = experiment("nightly")
    first = nightly.run(emit_activate_version_messages=True)
    refused = first.error
    if refused:
        nightly = experiment("untold")
        first = nightly.run()
        if first.error:
            return Outcome(f"fails: `{first.error}`")
    rows, amounts = _rows(nightly, first), _amounts(nightly)
    if not nightly.read("charges")[0]:
        return Outcome(rows)
    listing = nightly.charges
    gone, changed, *_ = listing.keys()[5:]
    listing.delete(gone)
    listing.update(changed, {"status_text": "Changed"})
    second = nightly.run(emit_activate_version_messages=not refused)
    keys = f"fails: `{second.error}`" if second.error else _keys(nightly, changed, set(listing.keys()))
    state, replaced = _state(experiment("incremental"))
    if replaced:
        keys = REPLACED
    deletions = _deletion(nightly, gone, replaced=replaced)
    if refused:
        deletions += f"; fails at ACTIVATE_VERSION: `{refused}`"
    elif nightly.target.hard:
        third = nightly.run(emit_activate_version_messages=True, hard=True)
        after = f"fails: `{third.error}`" if third.error else _deletion(nightly, gone, replaced=replaced)
        deletions += f"; with `{', '.join(nightly.target.hard)}` {after}"
    return Outcome(rows, keys, amounts, deletions, _undeclared(experiment), state)


def _rows(experiment: Experiment, run: Run) -> str:
    """Describe the records that are not there, or not as they were sent."""
    faults = []
    for stream in STREAMS:
        records = run.records(stream)
        found = experiment.read(stream)[0]
        held = [row for row in found if row.get(STREAMS[stream].key) in records]
        if len(held) != len(records) or len(found) != len(held):
            faults.append(f"{stream}: {len(found)} rows for {len(records)} records")
        elif wrong := _wrong(held, records, STREAMS[stream].key):
            faults.append(f"{stream}: {', '.join(f'`{name}`' for name in sorted(wrong)[:3])} not as sent")
    return "; ".join(faults) or "all"


def _wrong(rows: list[JSON], records: dict[str, JSON], key: str) -> set[str]:
    """Return the fields whose texts or numbers differ from what the tap sent."""
    return {name for row in rows for name, sent in records[row[key]].items() if not _is_same(sent, row.get(name, NONE))}


def _is_same(sent: Any, found: Any) -> bool:
    if isinstance(sent, str):
        return str(found) == sent
    if isinstance(sent, bool) or not isinstance(sent, (int, float)):
        # Each target has its own way to write these.
        return True
    return _is_number(str(found)) and Decimal(str(found)) == Decimal(str(sent))


def _is_number(value: str) -> bool:
    try:
        return Decimal(value).is_finite()
    except InvalidOperation:
        return False


def _amounts(experiment: Experiment) -> str:
    """Describe whether amounts have all digits, and the type of their column."""
    rows, types = experiment.read("charges")
    values = [
        next((str(row["amount"]) for row in rows if row[KEY] == key), "") for key in experiment.charges.keys()[:2]
    ]
    declared = types.get("amount", "text")
    if values == list(AMOUNTS):
        return f"every digit; {declared}"
    if all(map(_is_number, values)) and list(map(Decimal, values)) == list(map(Decimal, AMOUNTS)):
        return f"exact; {declared}"
    return f"{AMOUNTS[0]} became {values[0]}; {declared}"


def _keys(experiment: Experiment, changed: str, keys: set[str]) -> str:
    """Count the rows of a charge after two runs, and look whether a change of it has arrived."""
    rows = experiment.read("charges")[0]
    counts = set(Counter(row[KEY] for row in rows if row[KEY] in keys).values())
    is_updated = any(row["status_text"] == "Changed" for row in rows if row[KEY] == changed)
    found = {1: "one row each, updated", 2: "a row each run"}.get(max(counts, default=0), f"{sorted(counts)} rows")
    if is_updated and len(counts) == 1:
        return found
    return f"{sorted(counts)} rows, change {'' if is_updated else 'not '}there"


def _deletion(experiment: Experiment, gone: str, *, replaced: bool) -> str:
    """Describe what became of the row of a charge that is no longer listed."""
    rows = [row for row in experiment.read("charges")[0] if row[KEY] == gone]
    if not rows:
        return "not in the new file" if replaced else "row deleted"
    return f"`{DELETED_AT}` set" if any(row.get(DELETED_AT) for row in rows) else "row stays"


def _undeclared(experiment: Callable[[str], Experiment]) -> str:
    """Describe what becomes of a field of half of the charges, once let pass and once declared in the catalog."""
    declared = catalog_with()
    (charges,) = (entry for entry in declared["streams"] if entry["tap_stream_id"] == "charges")
    charges["schema"]["properties"][UNDECLARED] = {"type": ["number", "null"]}
    passes = _field(experiment("undeclared"), catalog_with(undeclared=True))
    return f"{passes}; declared: {_field(experiment('declared'), declared)}"


def _field(experiment: Experiment, catalog: JSON) -> str:
    run = experiment.run(catalog=catalog)
    if run.error:
        return f"fails: `{run.error}`"
    rows, types = experiment.read("charges")
    records = run.records("charges")
    held = {row[KEY]: row for row in rows if row.get(KEY) in records}
    if len(held) != len(records) or _wrong(list(held.values()), records, KEY) - {UNDECLARED}:
        return "rows are wrong"
    if not any(UNDECLARED in row for row in rows):
        return "left out"
    kept = UNDECLARED not in _wrong(list(held.values()), records, KEY)
    return f"{'column made' if types else 'written'}{'' if kept else ', values lost'}"


def _state(experiment: Experiment) -> tuple[str, bool]:
    """Compare the last STATE that comes back with the one sent, after an INCREMENTAL run and a quiet one.

    Returns:
        What was found, and whether only the rows of the last run are left.
    """
    catalog = catalog_with(incremental=INCREMENTAL)
    faults = []
    state: Any = None
    for night in ("first", "quiet"):
        run = experiment.run(catalog=catalog, state=state)
        if run.error:
            return f"{night} night fails: `{run.error}`", False
        state = run.sent_state
        if run.state != state:
            faults.append(f"{'none' if run.state is None else 'another'} on the {night} night")
    replaced = len({row.get(KEY) for row in experiment.read("charges")[0]}) < len(experiment.charges.keys())
    return "; ".join(faults) or "kept", replaced
