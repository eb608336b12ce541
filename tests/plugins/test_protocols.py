"""A protocol of a stranger is spoken by the tables that name it."""

import logging
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import (
    Place,
    Provider,
    ProviderProtocol,
    ProviderRoute,
    hookimpl,
)
from dovetail.kernel.testing import ScriptedProvider, text
from support.hosts import host


class Acme:
    """Speaks a protocol of its own, as any plugin could."""

    def __init__(self, route: ProviderRoute) -> None:
        self.route = route
        self.read: list[tuple[str, Any]] = []

    @hookimpl
    def dovetail_register_protocols(self, register: Any) -> None:
        register(ProviderProtocol("acme-chat", provider="acme"))

    @hookimpl
    def dovetail_register_providers(self, register: Any, place: Place) -> None:
        for name, protocol in place.protocols.items():
            if protocol == "acme-chat":
                self.read.append((name, dict(place.providers.get(name, {}))))
                register(Provider(name, lambda _: self.route))


def configured(tmp_path: Path, words: str) -> dict[str, str]:
    file = tmp_path / "user.toml"
    file.write_text(words, encoding="utf-8")
    return {"DOVETAIL_CONFIG": str(file)}


@pytest.mark.law("plugins.7")
async def test_register_protocols_decides_what_a_table_means(tmp_path: Path) -> None:
    script = ScriptedProvider(text("hi"))
    acme = Acme(script)
    environment = configured(
        tmp_path, '[providers.mine]\nprotocol = "acme-chat"\nspeed = 7\n'
    )
    async with host(
        tmp_path, script, plugins=[acme], environment=environment
    ) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model="mine/m")
        await session.prompt("go")
        with anyio.fail_after(60):
            assert (await session.wait()).succeeded
    assert acme.read == [("acme", {}), ("mine", {"protocol": "acme-chat", "speed": 7})]


async def test_a_protocol_that_nobody_speaks_is_told_of_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    script = ScriptedProvider(text("hi"))
    environment = configured(tmp_path, '[providers.mine]\nprotocol = "acmee"\n')
    async with host(
        tmp_path, script, plugins=[Acme(script)], environment=environment
    ) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model="scripted/model"
        )
        with caplog.at_level(logging.WARNING):
            await session.prompt("go")
            with anyio.fail_after(60):
                await session.wait()
    assert "[providers.mine]: no plugin speaks the protocol 'acmee'" in caplog.text
    assert "known are: acme-chat" in caplog.text


async def test_a_plugin_that_breaks_while_it_names_protocols_hinders_no_other(
    tmp_path: Path,
) -> None:
    class Broken:
        @hookimpl
        def dovetail_register_protocols(self, register: Any) -> None:
            register("acme-chat")
            raise RuntimeError

    script = ScriptedProvider(text("hi"))
    environment = configured(tmp_path, '[providers.mine]\nprotocol = "acme-chat"\n')
    plugins = [Acme(script), Broken()]
    async with host(
        tmp_path, script, plugins=plugins, environment=environment
    ) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model="mine/m")
        await session.prompt("go")
        with anyio.fail_after(60):
            assert (await session.wait()).succeeded


async def test_a_plugin_that_is_added_later_reads_the_tables_of_its_protocol(
    tmp_path: Path,
) -> None:
    script = ScriptedProvider(text("hi"))
    acme = Acme(script)
    environment = configured(tmp_path, '[providers.mine]\nprotocol = "acme-chat"\n')
    async with host(tmp_path, script, environment=environment) as runtime:
        await runtime.location(tmp_path).plugins.add(acme, "acme")
        session = await runtime.sessions.create(location=tmp_path, model="mine/m")
        await session.prompt("go")
        with anyio.fail_after(60):
            assert (await session.wait()).succeeded
