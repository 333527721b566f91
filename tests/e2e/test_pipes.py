"""The tap without Meltano: into target-jsonl, into the loader, and past a checker that shares no code with the SDK."""

from __future__ import annotations

import copy
import hashlib
import hmac
import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tap_payments.streams import STREAMS as DECLARED
from tests.fake_api import FakeAPI, make_account
from tests.fake_api.providers import STREAMS
from tests.support.loaders import pipe
from tests.support.meltano import PLUGINS, ROOT
from tests.support.tap_runs import TAP, catalog_with, discovered_catalog, tap_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.loaders import Warehouse
    from tests.support.postgres import Postgres

pytestmark = pytest.mark.meltano

TARGET = PLUGINS / "loaders" / "target-jsonl" / "venv" / "bin" / "target-jsonl"
CHECKER = ROOT / ".venvs" / "singer-tools" / "bin" / "singer-check-tap"
KEY = "a key: wörd $HOME"


@pytest.fixture(scope="module", params=["generic", "chargedesk"])
def api(request: pytest.FixtureRequest) -> Iterator[FakeAPI]:
    sizes = {**dict.fromkeys(STREAMS, 80), "charges": 1203}
    with FakeAPI(make_account(**sizes, php=request.param == "chargedesk"), provider=request.param) as api:
        yield api


@pytest.fixture
def config(api: FakeAPI, tmp_path: Path) -> Path:
    file = tmp_path / "c.json"
    file.write_text(json.dumps(tap_config(api)), encoding="utf-8")
    return file


def test_a_pipe_into_target_jsonl_writes_every_record(api: FakeAPI, config: Path, tmp_path: Path) -> None:
    with subprocess.Popen([TAP, "--config", config], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as tap:
        target = subprocess.run([TARGET], stdin=tap.stdout, cwd=tmp_path, capture_output=True, check=False)
    assert tap.returncode == 0
    assert target.returncode == 0, target.stderr.decode()
    assert json.loads(target.stdout.splitlines()[-1]) is not None
    for name, stream in STREAMS.items():
        # The time of the run is in the file's name.
        (file,) = tmp_path.glob(f"{name}-*.jsonl")
        lines = file.read_text(encoding="utf-8").splitlines()
        assert sorted(json.loads(line)[stream.key] for line in lines) == sorted(api.account.keys(name))


@pytest.mark.parametrize("method", ["FULL_TABLE", "INCREMENTAL"])
def test_a_foreign_checker_finds_nothing_wrong(api: FakeAPI, config: Path, tmp_path: Path, method: str) -> None:
    catalog = copy.deepcopy(discovered_catalog())
    for entry in catalog["streams"]:
        if DECLARED[entry["tap_stream_id"]].valid_replication_keys:
            entry["replication_method"] = method
    file = tmp_path / "catalog.json"
    file.write_text(json.dumps(catalog), encoding="utf-8")
    with subprocess.Popen(
        [TAP, "--config", config, "--catalog", file], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as tap:
        checked = subprocess.run([CHECKER], stdin=tap.stdout, capture_output=True, text=True, check=False)
    assert tap.returncode == 0
    assert checked.returncode == 0, checked.stderr
    for stream in STREAMS:
        assert stream in checked.stdout
        assert str(len(api.account[stream])) in checked.stdout, checked.stdout


def test_a_run_that_came_to_its_end_deletes(postgres: Postgres) -> None:
    with FakeAPI(make_account(charges=600, products=30, customers=120, subscriptions=12)) as api:
        config = tap_config(api, emit_activate_version_messages=True, page_overlap=1)
        _, warehouse = pipe(config, postgres, "deletions", hard_delete=True)
        sizes = {stream: len(api.account[stream]) for stream in STREAMS}
        assert warehouse.counts() == sizes

        gone = api.account.keys("charges")[100:140]
        for key in gone:
            api.account.delete("charges", key)
        pipe(config, postgres, "deletions", hard_delete=True)
        assert warehouse.counts() == {**sizes, "charges": 560}
        assert not set(gone) & set(warehouse.rows("charges"))


# Personal data.


@pytest.fixture(scope="module")
def personal() -> Iterator[FakeAPI]:
    account = make_account(charges=120, customers=30, products=7, subscriptions=40, php=True)
    for charge in account["charges"]:
        charge |= {"risk_score": 0.5, "customer_ip": "192.0.2.1"}
    with FakeAPI(account) as running:
        yield running


def told(api: FakeAPI, warehouse: Warehouse, *fields: str) -> set[str]:
    """Return what the tables tell of people: names, addresses and numbers of each customer."""
    words = {person[field] for person in api.account.records("customers") for field in fields} | {"192.0.2.1"}
    contents = json.dumps([warehouse.rows(name) for name in STREAMS], default=str)
    return {word for word in words if word in contents or json.dumps(word)[1:-1] in contents}


PERSONAL = ("name", "email", "phone", "billing_address", "tax_number")


def digest(text: str) -> str:
    return hmac.new(KEY.encode(), text.encode(), hashlib.sha256).hexdigest()


def test_hashed_tables_join(personal: FakeAPI, postgres: Postgres) -> None:
    log, warehouse = pipe(tap_config(personal, personal_data="hash", hash_key=KEY), postgres, "hashed")
    assert KEY not in log
    joined = "SELECT count(*) FROM {0}.charges JOIN {0}.customers USING (customer_id)"
    with postgres.connect() as connection:
        assert connection.execute(joined.format(warehouse.schema).encode()).fetchone() == (120,)
    assert told(personal, warehouse, *PERSONAL, "customer_id") == set()
    person = personal.account.records("customers")[0]
    assert warehouse.rows("customers")[digest(person["customer_id"])]["email"] == digest(person["email"])
    assert warehouse.types("customers")["metadata"] == "text"


def test_dropped_fields_have_no_columns(personal: FakeAPI, postgres: Postgres) -> None:
    _, warehouse = pipe(tap_config(personal, personal_data="drop", amounts="text"), postgres, "dropped")
    assert not {"customer_id", "customer_name", "metadata", "description"} & set(warehouse.types("charges"))
    assert {"customer_id", "country"} <= set(warehouse.types("customers"))
    assert told(personal, warehouse, *PERSONAL) == set()
    assert warehouse.types("charges")["amount"] == "text"


def test_a_field_that_schema_declares_is_loaded(personal: FakeAPI, postgres: Postgres) -> None:
    catalog = catalog_with()
    for entry in catalog["streams"]:
        if entry["tap_stream_id"] == "charges":
            entry["schema"]["properties"]["risk_score"] = {"type": ["number", "null"]}
    _, warehouse = pipe(tap_config(personal), postgres, "declared", catalog=catalog)
    assert {float(row["risk_score"]) for row in warehouse.rows("charges").values()} == {0.5}
    assert "customer_ip" not in warehouse.types("charges")


def test_tables_are_dropped_before_personal_data_changes(personal: FakeAPI, postgres: Postgres) -> None:
    pipe(tap_config(personal), postgres, "changed_setting")
    hashed = tap_config(personal, personal_data="hash", hash_key=KEY)
    names = ", ".join(f"changed_setting.{name}" for name in STREAMS)
    with postgres.connect() as connection:
        connection.execute(f"TRUNCATE {names}".encode())
        with pytest.raises(AssertionError, match="Altering columns is not supported"):
            pipe(hashed, postgres, "changed_setting")
        connection.execute(f"DROP TABLE {names}".encode())
    _, warehouse = pipe(hashed, postgres, "changed_setting")
    assert len(warehouse.rows("charges")) == 120
    assert warehouse.types("charges")["metadata"] == "text"
