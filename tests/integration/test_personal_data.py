"""`personal_data` keeps what is personal from going out, in messages and batches, on both paths, in the log too."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from jsonschema import Draft7Validator

from tap_payments.errors import VALUE_ADVICE
from tap_payments.records.schema import PERSONAL, SCHEMAS
from tap_payments.streams import STREAMS as DECLARED
from tests.fake_api import FakeAPI, make_account
from tests.fake_api.providers import STREAMS
from tests.support import states
from tests.support.in_process import InProcessRun, expect_one_error, read_served_records, run_in_process
from tests.support.states import batch_config
from tests.support.tap_runs import catalog_with, tap_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.tap_runs import TapRun

JSON = dict[str, Any]

KEY = "a hash key of this test, wörd"
HASH: JSON = {"personal_data": "hash", "hash_key": KEY}
DROP: JSON = {"personal_data": "drop"}
DROP_AND_HASH: JSON = {**DROP, "hash_key": KEY}
MODES: dict[str, JSON] = {"hash": HASH, "drop": DROP, "drop, keys hashed": DROP_AND_HASH}
UNDECLARED = "notes"


def catalog_of_other_types() -> JSON:
    """Return a catalog as a user may have written it by hand: none of it lets anything pass."""
    catalog = catalog_with()
    schemas = {entry["stream"]: entry["schema"] for entry in catalog["streams"]}
    for schema in schemas.values():
        schema["additionalProperties"] = True
        schema["properties"][UNDECLARED] = {"type": ["object", "null"]}
        for name, declared in schema["properties"].items():
            if name in {"metadata", "description", "customer_email"}:
                declared |= {"type": ["object", "string", "null"], "x-personal": False, "additionalProperties": True}
            if name in {"company", "gateway_id"}:
                del declared["type"]
            if name == "status":
                declared["anyOf"] = [{"type": "object"}, {"type": "string"}]
    schemas["customers"]["properties"]["subscriptions"] = {"type": ["string", "null"]}
    items = schemas["subscriptions"]["properties"]["items"]["items"]
    items["additionalProperties"] = True
    items["properties"] |= {UNDECLARED: {}, "description": {}}
    return catalog


# How records reach the output.
WAYS: dict[str, JSON] = {
    "as they are": {},
    "batches": {"batch": True},
    "a field deselected": {"deselect": ["charges.company", "customers.company", "subscriptions.company"]},
    "personal fields deselected": {"deselect": ["charges.customer_email", "customers.metadata", "customers.phone"]},
    "mapped": {"stream_maps": {"*": {"object": "'mapped'"}}},
    "a map that makes text of the record": {"stream_maps": {"*": {"all": "json.dumps(record)"}}},
    "a map that removes personal fields": {"stream_maps": {"c*": {"metadata": None, "description": "__NULL__"}}},
    "flattened": {"flattening_enabled": True, "flattening_max_depth": 3},
    "flattened batches": {"flattening_enabled": True, "flattening_max_depth": 3, "batch": True},
    "undeclared fields are asked for": {"undeclared": True},
    "INCREMENTAL": {"incremental": [name for name, one in DECLARED.items() if one.valid_replication_keys]},
    "amounts as text": {"amounts": "text"},
    "a catalog of other types": {"catalog": catalog_of_other_types},
}
# The fields that hold data of a person, whether the schemas mark them or not.
PERSONAL_FIELDS = {
    "charges": """
        description customer_name customer_email customer_email_domain customer_phone customer_username name_email
        name_send_email payment_method_describe support_email invoice_url invoice_download_url product_desc
        statement_description customer_ip gateway_url manage_url support_url last_4_digits
    """,
    "customers": """
        name first_name username email email_domain send_email_to phone fax website description customer_company
        billing_address shipping_address invoice_details tax_number tickets card_on_file signup_ip
    """,
    "subscriptions": "last_email product_desc cancel_reason",
    "products": "description",
}


class Account(NamedTuple):
    """An account, and the personal data in it, of which nothing must go out."""

    lists: dict[str, list[JSON]]
    words: set[str]

    def found_in(self, output: str) -> set[str]:
        """Return the texts of it that are in an output; JSON may have escaped them."""
        plain = output.replace("\\u00eb", "ë").replace('\\"', '"')
        return {word for word in self.words if word in plain}


@pytest.fixture(scope="module", params=[False, True], ids=["typed", "as PHP sends it"])
def account(request: pytest.FixtureRequest) -> Account:
    """Make an account that names its customers wherever it can, in fields that no schema declares too."""
    lists = make_account(**{**dict.fromkeys(STREAMS, 8), "charges": 24}, php=request.param)
    account = Account(lists, set())
    for stream, records in lists.items():
        for record in records:
            key = record[STREAMS[stream].key]
            _add_personal_data(account, record, stream, key)
            if stream == "customers":
                record["items"] = [{"note": f"Zoë's own item {key}"}]
                account.words.add(f"Zoë's own item {key}")
                for index, subscription in enumerate(record["subscriptions"]):
                    _add_personal_data(account, subscription, "subscriptions", f"{key}-{index}")
    return account


def _add_personal_data(account: Account, record: JSON, stream: str, key: str) -> None:
    """Write data of a person into a record."""
    declared = SCHEMAS.get_schema(stream)["properties"]
    marked = [name for name, field in declared.items() if PERSONAL in field and field["type"] == ["string", "null"]]
    # No other field of any record has these values.
    for number, name in enumerate({**dict.fromkeys(PERSONAL_FIELDS.get(stream, "").split()), **dict.fromkeys(marked)}):
        record[name] = f"Zoë O'Neill {stream}.{number}, {name}@{key}.example 192.0.2.{number}"
        account.words.add(record[name])
    for name in ("metadata", "logs", UNDECLARED):
        inside, address = f"Zoë {name} {stream} {key}", f"192.0.2.99-{key}-{stream}-{name}"
        record[name] = {inside: [{"who": inside, "ip": address}]}
        account.words.update((inside, address))
    record["logs"] = [record["logs"]]
    for index, item in enumerate(record.get("items") or ()):
        for name in ("description", UNDECLARED):
            item[name] = f"Zoë's item, {name} {key} {stream} {index}"
            account.words.add(item[name])


@pytest.fixture(scope="module")
def api(account: Account) -> Iterator[FakeAPI]:
    with FakeAPI(account.lists) as running:
        yield running


@pytest.fixture(autouse=True)
def _everything_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAP_PAYMENTS_LOGLEVEL", "DEBUG")


def read(api: FakeAPI, folder: Path, settings: JSON, way: JSON | None = None) -> tuple[InProcessRun, str]:
    """Read an account; return the run, and all that it put out: messages, files and log."""
    way = dict(way or {})
    choices = {name: way.pop(name) for name in ("deselect", "undeclared", "incremental") if name in way}
    make_catalog = way.pop("catalog", catalog_with)
    if way.pop("batch", False):
        way["batch_config"] = batch_config(folder, 5, "gzip")
    config = tap_config(api, page_size=7, page_overlap=1, **settings, **way)
    run = run_in_process(config, catalog=make_catalog(**choices)).expect_success()
    files = [gzip.decompress(file.read_bytes()).decode() for file in folder.rglob("*.gz")]
    return run, "\n".join([run.stdout.decode(), run.stderr, *files])


def records_of(run: TapRun) -> dict[str, list[JSON]]:
    """Return the records of a run by their stream, those in batches too."""
    found: dict[str, list[JSON]] = {}
    for message in run.messages:
        if records := list(states.records_of(message)):
            found.setdefault(message["stream"], []).extend(records)
    return found


def digest(text: str, key: str = KEY) -> str:
    """Return the hash of a text, as anybody can make it who has the key."""
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def test_without_the_setting_all_of_it_goes_out(api: FakeAPI, account: Account, tmp_path: Path) -> None:
    everything = json.dumps(catalog_with()).replace('"properties": {', '"additionalProperties": true, "properties": {')
    _, output = read(api, tmp_path, {}, {"catalog": lambda: json.loads(everything)})
    assert account.found_in(output) == account.words
    assert len(account.words) > 800


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_none_of_it_goes_out(mode: JSON, way: JSON, api: FakeAPI, account: Account, tmp_path: Path) -> None:
    run, output = read(api, tmp_path, mode, way)
    assert account.found_in(output) == set()
    assert "Zo" not in output
    assert KEY not in output
    found = records_of(run)
    for stream, records in account.lists.items():
        assert len(found.get(stream, ())) == len(records)
        assert not records or len(found[stream][0]) > 1


@pytest.mark.parametrize("mode", [{}, *MODES.values()], ids=["keep", *MODES])
def test_what_goes_out_is_what_is_declared_and_discovered(mode: JSON, api: FakeAPI, tmp_path: Path) -> None:
    run, _ = read(api, tmp_path, mode)
    found = records_of(run)
    # Discovery needs no key: it hashes nothing.
    offered = json.loads(run_in_process({**mode, "hash_key": None} if mode is HASH else mode, "--discover").stdout)
    assert "x-personal" not in json.dumps(offered)
    for entry in offered["streams"]:
        schema = run.schemas[entry["stream"]]["schema"]
        assert entry["schema"] == schema
        fields = [item["breadcrumb"][1] for item in entry["metadata"] if len(item["breadcrumb"]) == 2]
        assert set(fields) == set(schema["properties"])
        for record in found[entry["stream"]]:
            assert record.keys() <= schema["properties"].keys()
            Draft7Validator(schema).validate(record)
    again, _ = read(api, tmp_path, mode, {"catalog": lambda: offered})
    assert again.schemas == run.schemas
    if mode:
        changed, _ = read(api, tmp_path, mode, WAYS["a catalog of other types"])
        assert changed.schemas == run.schemas
        words = (f"`personal_data: {mode['personal_data']}`", "`subscriptions`")
        assert changed.logged("WARNING", "customers: ", *words)


# Hashes.


def test_a_value_has_one_hash_wherever_and_however_it_arrives() -> None:
    lists: dict[str, list[JSON]] = {
        "charges": [{"charge_id": "a", "customer_id": 17, "customer_email": "a@b.example", "occurred": "9"}],
        "customers": [
            {
                "customer_id": "17",
                "email": "a@b.example",
                "send_email_to": "A@b.example",
                "name": "",
                "subscriptions": [{"customer_id": 17}],
            }
        ],
        "subscriptions": [{"subscription_id": "s", "customer_id": 17.0, "product_desc": None, "first_seen": 9}],
    }
    with FakeAPI(lists) as api:
        run = run_in_process(tap_config(api, **HASH)).expect_success()
    charge, customer = run.records("charges")[0], run.records("customers")[0]
    assert charge["customer_id"] == customer["customer_id"] == digest("17")
    assert customer["subscriptions"] == [{"customer_id": digest("17")}]
    assert charge["customer_email"] == customer["email"] == digest("a@b.example") != customer["send_email_to"]
    # The text of a value counts: upper and lower case, and digits behind the point; an empty text is one too.
    assert customer["send_email_to"] == digest("A@b.example")
    assert customer["name"] == digest("")
    # Null stays null, and nothing comes up that was not there.
    rest = {"subscription_id": "s", "product_desc": None, "first_seen": 9}
    assert run.records("subscriptions") == [{**rest, "customer_id": digest("17.0")}]


CANONICAL: list[tuple[str, str | None]] = [
    ('{"b":1.10,"a":{"d":"é","c":[null,true,1e5]}}', '{"a":{"c":[null,true,1E+5],"d":"é"},"b":1.10}'),
    ('{"a":{"c":[null,true,1e5],"d":"\\u00e9"}, "b":1.10}', '{"a":{"c":[null,true,1E+5],"d":"é"},"b":1.10}'),
    ('{"Zo\\ud83d":["\\ud83d"]}', '{"Zo\N{REPLACEMENT CHARACTER}":["\N{REPLACEMENT CHARACTER}"]}'),
    *(("{}", "{}"), ("[]", "{}"), ('["x"]', '{"0":"x"}'), ('""', None), ("null", None)),
]


def test_an_object_is_hashed_as_canonical_json_of_the_declared_type() -> None:
    records = ",".join(f'{{"charge_id":"{n}","metadata":{sent}}}' for n, (sent, _) in enumerate(CANONICAL))
    run = read_served_records(records, **HASH).expect_success()
    assert [record["metadata"] for record in run.records("charges")] == [
        None if hashed is None else digest(hashed) for _, hashed in CANONICAL
    ]


def test_stream_maps_see_hashes() -> None:
    maps = {"customers": {"short": "email[:8]", "__filter__": f"record.get('name') == '{digest('Zoë')}'"}}
    records = '{"customer_id":"a","email":"x","name":"Zoë"},{"customer_id":"b"}'
    run = read_served_records(records, stream="customers", stream_maps=maps, **HASH).expect_success()
    assert [one["short"] for one in run.records("customers")] == [digest("x")[:8]]


# Drop.


def test_a_key_is_never_dropped() -> None:
    for mode, key in ((DROP, "a"), (DROP_AND_HASH, digest("a"))):
        run = read_served_records('{"customer_id":"a","name":"Zoë"}', stream="customers", **mode).expect_success()
        assert run.records("customers") == [{"customer_id": key}]
        assert bool(run.logged("WARNING", "customers", "`customer_id`", "`hash_key`")) is (mode is DROP)


# Values that do not fit, and messages that name a record.


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_an_object_in_place_of_a_text_does_not_pass(mode: JSON) -> None:
    record = '{"charge_id":"a","status":{"who":"Zoë"},"methods_active":["card",["Zoë"]]}'
    expect_one_error(read_served_records(record, **mode), "record a, ", "declared string, arrived as ", VALUE_ADVICE)
    nulled = read_served_records(record, on_invalid_value="null", **mode).expect_success()
    assert nulled.records("charges") == [{"charge_id": "a", "status": None, "methods_active": ["card", None]}]
    assert "Zo" in read_served_records(record).expect_success().stdout.decode()


def test_an_invalid_value_becomes_null_and_not_a_hash() -> None:
    record = '{"customer_id":"a","metadata":5,"logs":5,"charges":"Zoë","subscriptions":[{"logs":1}]}'
    run = read_served_records(record, stream="customers", on_invalid_value="null", **HASH).expect_success()
    nulls = {"metadata": None, "logs": None, "charges": None, "subscriptions": [{"logs": None}]}
    assert run.records("customers") == [{"customer_id": digest("a"), **nulls}]
    assert "Zo" not in run.stderr


MISFITS: dict[str, tuple[str, JSON]] = {
    "an invalid value": ('"charges":"Zoë"', {}),
    "NaN": ('"charges":NaN', {}),
    "an exponent": ('"charges":1e99999', {}),
    "a map that fails": ('"charges":1', {"stream_maps": {"customers": {"charges": "charges / 0"}}}),
}


@pytest.mark.parametrize(("field", "settings"), MISFITS.values(), ids=MISFITS)
def test_no_message_shows_a_key_that_is_personal(field: str, settings: JSON) -> None:
    key = "Zoë@mail.example"
    record = f'{{"customer_id":"{key}",{field}}}'
    hidden = "(its key is personal data)"
    for mode, shown in ((HASH, digest(key)), (DROP, hidden), (DROP_AND_HASH, digest(key)), ({}, key)):
        run = read_served_records(record, stream="customers", **settings, **mode)
        expect_one_error(run, "customers: /v1/customers ", f"record {shown}")
        assert not mode or "Zo" not in run.stdout.decode() + run.stderr


def test_a_key_that_arrives_as_an_object_is_shown_as_one() -> None:
    run = read_served_records('{"customer_id":{"a":"Zoë"},"charges":"x"}', stream="customers", **HASH)
    expect_one_error(run, "record (an object)")


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_names_of_undeclared_fields_show_no_data_and_none_that_is_dropped(mode: JSON) -> None:
    inside = '"subscriptions":[{"metadata":{},"new":2}]'
    record = f'{{"customer_id":"a","name":"Zoë","Zoë O\'Neill":1,"zoe@mail.example":2,"unheard_of":3,{inside}}}'
    run = read_served_records(record, stream="customers", **mode).expect_success()
    (line,) = run.logged("WARNING", "does not declare")
    assert "(`unheard_of`, `subscriptions[].new`, 2 others)" in line
    assert "Zo" not in run.stderr
    assert "zoe" not in run.stderr


def test_all_that_the_page_on_personal_data_says_of_a_hash_is_so() -> None:
    page = (Path(__file__).parents[2] / "docs" / "personal-data.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert code is not None
    names: JSON = {}
    exec(code[1], names)
    assert names["hashed"] == digest("jane@example.com", "the value of hash_key")
