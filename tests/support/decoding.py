"""Coercion to a schema of a test's own, field by field and by the decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tap_payments.records.coerce import Coercer, Field
from tap_payments.records.decoder import RecordDecoder
from tap_payments.records.exact_json import ENCODER, read_number
from tap_payments.records.schema import SchemaRules

if TYPE_CHECKING:
    from collections.abc import Callable

JSON = dict[str, Any]
DECODER = msgspec.json.Decoder(float_hook=read_number)


def compile_fields(schema: JSON) -> Field:
    """Return the fields of a record of a schema, of which nothing is personal or deselected."""
    return SchemaRules().compile_record({}, schema, schema, keys=())


def coerce_by_fields(schema: JSON, text: str, coercer: Coercer | None = None) -> JSON:
    """Coerce a record, given as JSON, field by field."""
    return (coercer or Coercer()).coerce_record(compile_fields(schema), DECODER.decode(text))


def page_decoder(schema: JSON, coercer: Coercer | None = None) -> RecordDecoder:
    """Return a decoder of pages whose records have `key` as their key and `when` as their time."""
    return RecordDecoder(compile_fields(schema), coercer or Coercer(), key="key", time="when")


def decoder_reader(schema: JSON, coercer: Coercer | None = None) -> Callable[[str], bytes]:
    """Return a function that reads a record, given as JSON, with one decoder, and returns the JSON that goes out."""
    decoder = page_decoder(schema, coercer)

    def read(text: str) -> bytes:
        (record,) = decoder.decode(f'{{"data":[{text}]}}'.encode()).data
        return ENCODER.encode(decoder.read(record))

    return read
