"""From one state per account and stream, as the DAG once kept it, to one state per account, as the document tells."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from tests.fake_api import FakeAPI, make_account
from tests.support.meltano import MELTANO, ROOT, Project
from tests.support.tap_runs import NO_LIMIT

pytestmark = pytest.mark.meltano

FOLDER = ROOT / ".run" / "migration"
DOCUMENT = ROOT / "docs" / "many-accounts.md"
DAY = 86_400
LOOKBACK = 5 * DAY
LOAD = ("el", "tap-payments--chargedesk-incremental", "target-jsonl", "--state-id")


def documented_commands() -> str:
    """Return the one block of the document that merges states."""
    blocks = re.findall(r"```sh\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL)
    (block,) = [block for block in blocks if "meltano state merge" in block]
    return str(block)


def test_an_account_goes_on_from_the_bookmarks_of_its_streams() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    account = make_account(charges=300, customers=40, php=True)
    with FakeAPI(account, provider="chargedesk", username="key") as api:
        settings = {
            "TAP_PAYMENTS_BASE_URL": api.url,
            "TAP_PAYMENTS_USERNAME": "key",
            "TAP_PAYMENTS_PASSWORD": "",
            "TAP_PAYMENTS_LOOKBACK_DAYS": str(LOOKBACK // DAY),
            "TAP_PAYMENTS_REQUESTS_PER_MINUTE": str(NO_LIMIT),
            "TARGET_JSONL_DESTINATION_PATH": str(FOLDER),
            "PATH": f"{MELTANO.parent}{os.pathsep}{os.environ['PATH']}",
        }
        project = Project(FOLDER, settings)
        streams = {"charges": "occurred", "customers": "first_seen"}
        for stream in streams:
            project.run(*LOAD, f"acme:{stream}", "--select", stream)
        commands = ["sh", "-e", "-c", documented_commands()]
        subprocess.run(commands, cwd=FOLDER, env=project.environment, check=True, capture_output=True)
        seen = len(api.requests)
        project.run(*LOAD, "acme")
    for stream, field in streams.items():
        first = next(request for request in api.requests[seen:] if request.stream == stream)
        newest = max(int(record[field]) for record in api.account.records(stream))
        assert int(first.params[f"{field}[min]"]) == newest - LOOKBACK
