"""The page loop: request a page, feed the paginator, prefetch what follows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_payments.pagination.anchored import AnchoredPaginator
from tap_payments.pagination.unanchored import UnanchoredPaginator

if TYPE_CHECKING:
    from tap_payments.pagination.pages import ListFacts, PagingRules, Span
    from tap_payments.pagination.paginator import ListPaginator


def new_paginator(rules: PagingRules, span: Span, facts: ListFacts) -> ListPaginator:
    """Return a paginator at the top of a span.

    Args:
        rules: How the list is paged.
        span: The span of time to read; open at both ends, it is the whole list.
        facts: What reading other spans of the list has taught.
    """
    can_anchor = rules.is_filterable and rules.shows_filter_time and rules.overlap and not rules.single_page
    return (AnchoredPaginator if can_anchor else UnanchoredPaginator)(rules, span, facts)
