"""ACTIVATE_VERSION messages, at which a target deletes what did not come with this version."""

from __future__ import annotations


def describe_refusal(name: str, *, read: int, sent: int, may_miss_records: bool) -> str | None:
    """Return why no ACTIVATE_VERSION message may go out; None where it may.

    Args:
        name: The name that the records go by.
        read: How many records the list has.
        sent: How many of them went out by this name. After none, the message would delete all that the target has.
        may_miss_records: Whether a WARNING says that records may have been missed.
    """
    if not read:
        reason, action = "the list is empty", "check `username` and `base_url` if the account has records"
    elif may_miss_records:
        reason, action = "records may be missing, as the WARNING before says", "delete them in the target yourself"
    elif not sent:
        reason, action = f"`stream_maps` pass none of {read} records", "check its `__filter__` if some should pass"
    else:
        return None
    return f"{reason}, so no ACTIVATE_VERSION message goes out for `{name}` and the target deletes nothing: {action}"
