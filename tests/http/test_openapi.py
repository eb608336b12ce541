"""The OpenAPI document says what the door does, and the door does what it says."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from attrs import frozen
from dovetail.kernel.testing import ScriptedProvider
from dovetail.plugins.http.openapi import document
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator
from support.askers import AskingTools
from support.doors import Served, served

DOCS = Path(__file__).resolve().parents[2] / "docs"
ENDLESS = {"v2.event.subscribe", "v2.session.wait"}
"""They answer for as long as something goes on; other tests are about them."""
HEAVY = {"plugin.list"}
KNOWN = {"sessionID": "ses_a", "providerID": "scripted"}


def made() -> Any:
    spec = importlib.util.spec_from_file_location("made", DOCS / "make_openapi.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_document_and_the_table_are_what_the_code_says() -> None:
    told = "run python docs/make_openapi.py"
    page = (DOCS / "http.md").read_text(encoding="utf-8")
    assert page == made().made_page(page), told
    assert (DOCS / "openapi.json").read_text(encoding="utf-8") == (
        made().made_document()
    ), told


def test_the_document_is_openapi() -> None:
    from openapi_spec_validator import validate

    validate(document())


def test_every_operation_says_what_it_does() -> None:
    for path, operations in document()["paths"].items():
        for method, one in operations.items():
            assert len(one["description"]) > 15, (method, path)
            for parameter in one["parameters"]:
                assert parameter["in"] == "path" or parameter["description"]


def test_every_field_says_what_it_is() -> None:
    for name, schema in document()["components"]["schemas"].items():
        for field, one in schema.get("properties", {}).items():
            assert one.get("description"), (name, field)


def test_members_of_a_union_are_told_apart_by_what_they_are_called() -> None:
    schemas = document()["components"]["schemas"]
    whole = json.dumps(schemas)
    assert whole.count('"oneOf"') == whole.count('"discriminator"') > 5
    told = schemas["ToolShape"]["properties"]["state"]["discriminator"]
    assert told["propertyName"] == "status"
    for value, ref in told["mapping"].items():
        member = schemas[ref.rpartition("/")[2]]
        assert member["properties"]["status"]["enum"] == [value]


def test_every_operation_has_examples_of_what_it_takes_and_answers() -> None:
    whole = document()
    known = {"components": whole["components"]}
    for path, operations in whole["paths"].items():
        for method, one in operations.items():
            contents = [one["requestBody"]] if "requestBody" in one else []
            for status, answer in one["responses"].items():
                if ref := answer.get("$ref"):
                    answer = whole["components"]["responses"][ref.rpartition("/")[2]]
                assert status == "204" or answer["content"]
                contents.append(answer)
            for content in contents:
                for shown in content.get("content", {}).values():
                    schema = {**known, **shown.get("schema", {})}
                    validator = Draft202012Validator(schema)
                    broken = list(validator.iter_errors(shown["example"]))
                    assert broken == [], (method, path)


def test_refusals_have_codes_that_there_are() -> None:
    schemas = document()["components"]["schemas"]
    codes = schemas["Refused"]["properties"]["code"]["examples"]
    assert {"session.not_found", "prompt.conflict", "server.busy"} <= set(codes)
    for answer in document()["components"]["responses"].values():
        assert answer["content"]["application/json"]["example"]["code"] in codes


async def test_the_document_is_served() -> None:
    async with served() as it:
        found = await it.ask("GET", "openapi.json")
        assert found == json.loads(json.dumps(document()))


# --- whatever is asked ------------------------------------------------------------

NAMES = sorted(
    operation["operationId"]
    for path in document()["paths"].values()
    for operation in path.values()
)


@pytest.fixture(scope="module")
def operations() -> dict[str, Any]:
    # Here, because every process of a run imports this file, and one runs it.
    import schemathesis

    schema = schemathesis.openapi.from_dict(document())
    found = (one.ok() for one in schema.get_all_operations())
    return {one.definition.raw["operationId"]: one for one in found}


@pytest.fixture(scope="module")
def checks() -> list[Any]:
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    return [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
    ]


@frozen
class Server:
    portal: BlockingPortal
    it: Served

    def ask(self, **request: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            return await self.it.http.request(**request)

        return self.portal.call(ask)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("place")
    (folder / "note.txt").write_text("A note")
    with start_blocking_portal() as portal:
        opened = served(ScriptedProvider(), AskingTools(), location=folder)
        with portal.wrap_async_context_manager(opened) as it:
            found = Server(portal, it)
            body = {"id": "ses_a", "location": {"directory": str(folder)}}
            assert found.ask(method="POST", url="/api/session", json=body).is_success
            yield found


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ENDLESS])
def test_whatever_is_asked_is_answered_as_described(
    name: str, server: Server, operations: dict[str, Any], checks: list[Any]
) -> None:
    operation = operations[name]

    @given(case=operation.as_strategy())
    @settings(
        max_examples=6,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Any) -> None:
        # What is there is asked for, too, and nothing is followed without end.
        for part, value in KNOWN.items():
            if part in (case.path_parameters or {}):
                case.path_parameters[part] = value
        query = dict(case.query or {})
        if "follow" in query or "event" in case.path or case.path == "/api/log":
            case.query = {**query, "follow": False}
        if "seconds" in query:
            case.query = {**query, "seconds": 0}
        given = case.as_transport_kwargs(base_url="http://localhost:4096")
        given.pop("cookies", None)
        answer = server.ask(**given)
        case.validate_response(answer, checks=checks)

    ask()
