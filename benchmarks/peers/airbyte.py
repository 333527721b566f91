"""The same list read by Airbyte's declarative engine: the files that its command is run with."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from tap_payments import schemas

if TYPE_CHECKING:
    from pathlib import Path

REQUESTER = {
    "type": "HttpRequester",
    "url_base": "{{ config['base_url'] }}",
    "path": "charges",
    "http_method": "GET",
    "authenticator": {
        "type": "BasicHttpAuthenticator",
        "username": "{{ config['username'] }}",
        "password": "",
    },
}


def paginator(limit_param: str) -> dict[str, Any]:
    """Describe the paging by offset."""
    return {
        "type": "DefaultPaginator",
        "pagination_strategy": {"type": "OffsetIncrement", "page_size": 500},
        "page_size_option": {"type": "RequestOption", "inject_into": "request_parameter", "field_name": limit_param},
        "page_token_option": {"type": "RequestOption", "inject_into": "request_parameter", "field_name": "offset"},
    }


def manifest(schema: dict[str, Any], limit_param: str = "limit") -> dict[str, Any]:
    """Describe a source of charges with the schema that the tap has."""
    selector = {"type": "RecordSelector", "extractor": {"type": "DpathExtractor", "field_path": ["data"]}}
    return {
        "version": "6.0.0",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": ["charges"]},
        "streams": [
            {
                "type": "DeclarativeStream",
                "name": "charges",
                "primary_key": ["charge_id"],
                "retriever": {
                    "type": "SimpleRetriever",
                    "requester": REQUESTER,
                    "record_selector": selector,
                    "paginator": paginator(limit_param),
                },
                "schema_loader": {"type": "InlineSchemaLoader", "schema": schema},
            }
        ],
        "spec": {
            "type": "Spec",
            "connection_specification": {"type": "object", "properties": {}, "additionalProperties": True},
        },
    }


def read_command(program: Path, folder: Path, url: str, limit_param: str = "limit") -> list[str]:
    """Write the engine's files into a folder.

    Returns:
        The command that reads the list with them.
    """
    schema = json.loads(files(schemas).joinpath("charges.json").read_text(encoding="utf-8"))
    stream = {"name": "charges", "json_schema": schema, "supported_sync_modes": ["full_refresh"]}
    contents: dict[str, Any] = {
        "config": {"base_url": url, "username": "sk_test_sandbox"},
        "catalog": {
            "streams": [{"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "overwrite"}],
        },
        "manifest-path": manifest(schema, limit_param),
    }
    command = [str(program), "read"]
    for option, content in contents.items():
        file = folder / f"airbyte-{option}.yaml"
        # JSON is YAML as well.
        file.write_text(json.dumps(content), encoding="utf-8")
        command += [f"--{option}", str(file)]
    return command
