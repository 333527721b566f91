"""What the documents say is so: generated ones are current, links lead somewhere, numbers and examples are right."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from scripts import nightly_requests
from scripts.documents import ROOT, documents
from tap_payments import errors
from tap_payments.settings import SETTINGS
from tap_payments.tap import TapPayments
from tests.targets.declarations import TARGETS
from tests.targets.table import FILE, HEAD, rows

if TYPE_CHECKING:
    from pathlib import Path

SECRET = re.compile("password|private_key|secret|token|url$")
DOCUMENTS = documents()
WRITTEN = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
YAML_BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
NIGHTLY = (ROOT / "docs" / "nightly.md").read_text(encoding="utf-8")


def plugin(kind: str, name: str) -> dict[str, Any]:
    """Return one plugin's entry in `meltano.yml`."""
    project = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    entry: dict[str, Any] = next(entry for entry in project["plugins"][kind] if entry["name"] == name)
    return entry


@pytest.mark.parametrize("path", DOCUMENTS)
def test_what_is_committed_is_what_make_docs_writes(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == DOCUMENTS[path], "run `make docs`"


@pytest.mark.parametrize("path", ["hub/tap-payments.yml", "hub/target-postgres.yml"])
def test_a_definition_does_not_choose_where_a_plugin_is_installed_from(path: str) -> None:
    definition = yaml.safe_load(DOCUMENTS[path])
    assert "pip_url" not in definition
    assert "structured-logging" in definition["capabilities"]


def test_meltano_yml_has_the_capabilities_and_the_required_settings_of_the_tap() -> None:
    extractor = plugin("extractors", "tap-payments")
    assert set(extractor["capabilities"]) == {capability.value for capability in TapPayments.capabilities}
    required = [setting.name for setting in SETTINGS if not setting.optional]
    assert extractor["settings_group_validation"] == [required]


@pytest.mark.parametrize("name", ["target-postgres", "target-jsonl"])
def test_meltano_masks_what_is_secret_of_a_target(name: str) -> None:
    for setting in plugin("loaders", name)["settings"]:
        assert setting.get("sensitive", False) is bool(SECRET.search(setting["name"])), setting["name"]


def test_the_environment_knows_only_settings_of_the_target() -> None:
    known = {setting["name"] for setting in plugin("loaders", "target-postgres")["settings"]}
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    variables = set(re.findall(r"^(?:# )?TARGET_POSTGRES_([A-Z_]+)=", text, flags=re.MULTILINE))
    assert {"HOST", "PASSWORD"} <= variables
    assert {name.lower() for name in variables} <= known


@pytest.mark.parametrize("records", nightly_requests.SIZES[:2])
def test_the_requests_of_a_night_are_what_make_docs_computes(records: int) -> None:
    assert nightly_requests.row(records) in NIGHTLY.splitlines(), "run `make docs ARGS=--slow`"


def test_the_readme_repeats_the_requests_of_a_million_charges() -> None:
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    full, _, incremental, _ = re.findall(r"([\d,]+) \(", NIGHTLY.partition("| 1,000,000 |")[2])[:4]
    assert f"A million charges take {incremental} requests a night instead of {full};" in readme


def anchors(file: Path) -> set[str]:
    """Return the anchors of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", WRITTEN, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere_and_every_yaml_example_can_be_read(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for path, anchor in LINK.findall(text):
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"
    for block in YAML_BLOCK.findall(text):
        assert yaml.safe_load(block), block


def test_the_readme_has_at_most_200_lines() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


def test_each_advice_is_a_row_of_the_page_on_troubleshooting() -> None:
    advice = [*errors.ADVICE.values(), *(text for name, text in vars(errors).items() if name.endswith("_ADVICE"))]
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8").split("\n## ", 1)[0]
    first_cells = [line.split("|")[1].strip() for line in page.splitlines() if "|" in line][2:]
    # The cap has no status: the paginator says it, with the second and the cap in it.
    (unknown,) = [cell for cell in first_cells if cell not in advice]
    assert unknown.split("...")[0] == "more records share the second "
    assert sorted([*advice, unknown]) == sorted(first_cells)


def test_the_page_of_targets_has_each_declared_one_and_its_advice() -> None:
    cells = rows().values()
    assert [(row[0], row[-1]) for row in cells] == [(target.title, target.advice) for target in TARGETS.values()]
    assert {len(row) for row in cells} == {len(HEAD)}, "run `make test-targets`"
    assert not re.search(r"/(?:home|root|tmp|work|Users)/", FILE.read_text(encoding="utf-8")), "a path on a machine"


@pytest.mark.parametrize("document", ["README.md", "CHANGELOG.md"])
def test_readme_and_change_log_count_the_targets(document: str) -> None:
    (count,) = re.findall(r"\b(\d+) (?:Singer )?targets\b", (ROOT / document).read_text(encoding="utf-8"))
    assert int(count) == len([target for target in TARGETS.values() if not target.into])
