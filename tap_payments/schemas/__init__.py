"""The JSON Schema of each stream's records, one file a stream."""

from __future__ import annotations
