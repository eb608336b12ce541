"""A rule is about the file that it names, however it names it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from dovetail.kernel import (
    Action,
    ConfigurationError,
    Place,
    Register,
    Rule,
    RuleEffect,
    Tool,
    ToolContext,
    hookimpl,
)
from dovetail.kernel.access.names import Ground
from dovetail.kernel.access.rules import decide, deciding_rule
from dovetail.kernel.testing import ScriptedProvider, call, calls, text
from dovetail.kernel.values.patterns import MAX_PATTERN, MAX_RULES, matches, rests
from hypothesis import given, strategies as st
from support.hosts import host

ACTIONS = {
    one.name: one
    for one in (
        Action("read", "path"),
        Action("edit", "path"),
        Action("say"),
        Action("external_directory", "folder"),
    )
}
WORK = "/home/me/work"


@frozen
class Nothing:
    pass


async def _nothing(input: Nothing, context: ToolContext) -> str:
    return ""


def effect(
    pattern: str,
    resource: str,
    said: RuleEffect = "deny",
    action: str = "read",
    ground: Ground | None = None,
) -> RuleEffect:
    """Return what one rule says of a resource; ``ask`` where it says nothing."""
    ground = ground or Ground(WORK, "/home/me")
    rule = Rule(action, pattern, said)
    asked = "read" if action == "*" else action
    return decide(asked, [resource], ground.meant(rule, ACTIONS))


NAMED = [
    ("/home/me/work/.ssh/*", ".ssh/id", True),
    ("/home/*/.ssh/*", ".ssh/id", True),
    ("/home/me/*", "a/b", True),
    ("~/work/.ssh/*", ".ssh/id", True),
    ("~/.ssh/*", "/home/me/.ssh/id", True),
    ("~/.ssh/*", ".ssh/id", False),
    ("./s.txt", "s.txt", True),
    ("././s.txt", "s.txt", True),
    ("./s.txt", "a/s.txt", False),
    (".//a/s.txt", "a/s.txt", True),
    ("a/../s.txt", "s.txt", True),
    ("../other/x", "/home/me/other/x", True),
    ("../work/x", "x", True),
    ("**/x", "x", True),
    ("**/x", "a/b/x", True),
    ("**/x", "ax", False),
    ("*/x", "x", True),
    ("*/x", "a/x", True),
    ("*/x", "ax", False),
    ("a/**/x", "a/x", True),
    ("a/**/x", "a/b/c/x", True),
    ("/home/me/work/**/x", "x", True),
    ("/home/me/work", ".", True),
    ("/home/me/works/*", "a", False),
    ("/home/me/work2", ".", False),
    ("x", "x", True),
    ("x", "/etc/x", False),
    ("*.env", "/etc/x.env", True),
]


@pytest.mark.law("access.9")
@pytest.mark.parametrize(("pattern", "resource", "named"), NAMED)
@pytest.mark.parametrize("action", ["read", "*"])
def test_a_rule_matches_the_file_that_it_names(
    pattern: str, resource: str, named: bool, action: str
) -> None:
    assert effect(pattern, resource, action=action) == ("deny" if named else "ask")
    if action == "read":
        allowed = effect(pattern, resource, "allow", action)
        assert allowed == ("allow" if named else "ask")


@pytest.mark.law("access.9")
def test_a_location_that_is_the_home_or_the_root_is_no_other() -> None:
    home = Ground("/home/me", "/home/me")
    assert effect("~/.ssh/*", ".ssh/id", ground=home) == "deny"
    assert effect("~", ".", ground=home) == "deny"
    root = Ground("/", "/root")
    assert effect("/etc/*", "etc/passwd", ground=root) == "deny"
    assert effect("/*", "etc/passwd", ground=root) == "deny"


@pytest.mark.law("access.9")
def test_what_is_no_file_stands_for_itself() -> None:
    assert effect("./build.sh *", "build.sh now", "allow", "say") == "ask"
    assert effect("./build.sh *", "./build.sh now", "allow", "say") == "allow"
    assert effect("~/x", "/home/me/x", "allow", "say") == "ask"


@pytest.mark.law("access.9")
@pytest.mark.parametrize("pattern", ["/etc", "/etc/", "/etc/*", "~/../../etc"])
def test_a_folder_outside_may_be_named_as_folders_are(pattern: str) -> None:
    assert effect(pattern, "/etc/*", "deny", "external_directory") == "deny"
    assert effect(pattern, "/etc/ssl/*", "deny", "external_directory") == "deny"
    assert effect(pattern, "/etc/*", "allow", "external_directory") == "allow"
    # Who allows a folder does not allow those in it, but for saying so.
    below = "allow" if pattern.endswith("*") else "ask"
    assert effect(pattern, "/etc/ssl/*", "allow", "external_directory") == below


@pytest.mark.law("access.9")
def test_what_is_not_known_to_be_a_path_is_only_read_as_one_to_forbid_it() -> None:
    ground = Ground(WORK, "/home/me")
    for said, expected in (("deny", True), ("ask", True), ("allow", False)):
        rule = Rule("peek", "./x", said)  # type: ignore[arg-type]
        found = deciding_rule("peek", "x", ground.meant(rule, ACTIONS))
        assert (found is not None) == expected


@pytest.mark.parametrize("name", ["a\0b", "/a\0b/c", "a\ud800b", "~/\0"])
@pytest.mark.parametrize("said", ["deny", "ask", "allow"])
def test_what_no_file_can_be_called_is_about_nothing_else(
    name: str, said: RuleEffect
) -> None:
    rule = Rule("read", name, said)
    meant = Ground(WORK, "/home/me").meant(rule, ACTIONS)
    assert decide("read", ["a.py"], meant) == "ask"
    assert decide("read", [name], meant) == said


@pytest.mark.law("access.9")
def test_a_link_is_followed_to_forbid_and_not_to_allow(tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / "real").mkdir(parents=True)
    (work / "link").symlink_to("real")
    (tmp_path / "far").symlink_to(work / "real")
    ground = Ground(str(work.resolve()), None)
    for pattern in ("link/*", f"{work}/link/*", f"{tmp_path}/far/*", "../far/*"):
        assert effect(pattern, "real/x", "deny", ground=ground) == "deny"
        assert effect(pattern, "real/x", "ask", ground=ground) == "ask"
        assert effect(pattern, "real/x", "allow", ground=ground) == "ask"


@given(
    st.text("a/*?", max_size=8), st.text("a/", max_size=5), st.text("a/", max_size=5)
)
def test_what_is_left_of_a_pattern_matches_what_is_left_of_a_text(
    pattern: str, start: str, rest: str
) -> None:
    left = any(matches(one, rest) for one in rests(pattern, start))
    assert left == matches(pattern, start + rest)


# --- what can never match ----------------------------------------------------------

READ = '{{ action = "read", resource = "{}", effect = "deny" }}'


@pytest.mark.law("access.9")
@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (READ.format("src/"), "write 'src/*'"),
        (READ.format("~nobody-is-called-so/x"), "no such home"),
        (READ.format("$HOME/x"), "write ~"),
        (READ.format("*/../x"), "'..'"),
        (
            '{ action = "external_directory", resource = "x", effect = "deny" }',
            "absolute",
        ),
    ],
)
@pytest.mark.parametrize("table", ["permissions", "agents.build"])
async def test_a_rule_that_can_never_match_is_refused_with_its_place(
    rule: str, why: str, table: str, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.toml"
    fine = READ.format("*.lock")
    mine.write_text(f"[{table}]\nrules = [{fine}, {rule}]")
    async with host(
        tmp_path,
        ScriptedProvider(),
        *tools(),
        environment={"DOVETAIL_CONFIG": str(mine), "HOME": str(tmp_path)},
    ) as runtime:
        with pytest.raises(ConfigurationError) as caught:
            await runtime.location(tmp_path).tools()
    assert f"{mine}: {table}.rules[1]" in str(caught.value)
    assert why in str(caught.value)


@pytest.mark.law("access.9")
async def test_what_rules_mean_is_found_out_before_anybody_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes a look at the disk, which may hang, and no Step waits for one."""
    looks: list[Rule] = []
    meant = Ground.meant

    def looking(
        ground: Ground, rule: Rule, actions: Mapping[str, Action]
    ) -> tuple[Rule, ...]:
        looks.append(rule)
        return meant(ground, rule, actions)

    async def execute(input: Nothing, context: ToolContext) -> str:
        await context.ask("read", ["link/x"])
        return "shown"

    monkeypatch.setattr(Ground, "meant", looking)
    mine = tmp_path / "mine.toml"
    mine.write_text(
        f"permissions.rules = [{READ.format('link/y')}]\nagents.build.rules = ["
        '{ action = "read", resource = "link/x", effect = "allow" }]'
    )
    model = ScriptedProvider(calls(call("show", {})), text("done"))
    show = Tool("show", "Show.", Nothing, execute, asks=[Action("read", "path")])
    async with host(
        tmp_path, model, show, environment={"DOVETAIL_CONFIG": str(mine)}
    ) as runtime:
        await runtime.location(tmp_path).tools()
        opened = len(looks)
        assert {"link/x", "link/y"} <= {one.resource for one in looks}
        session = await runtime.sessions.create(
            location=tmp_path, model="scripted/model"
        )
        await session.prompt("go")
        assert (await session.wait()).status == "succeeded"
    assert len(looks) == opened


class Weather:
    """A plugin whose tools come later."""

    name = "weather"

    @hookimpl
    def dovetail_register_tools(
        self, register: Register[Tool[Any, Any]], place: Place
    ) -> None:
        """None is there yet."""


async def test_a_rule_about_what_nothing_asks_is_told_with_what_there_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(
        'permissions.rules = [{ action = "write", resource = "*", effect = "deny" }, '
        '{ action = "raed", resource = "*", effect = "deny" }, '
        '{ action = "look", resource = "*", effect = "deny" }, '
        '{ action = "weather", resource = "storm/*", effect = "deny" }, '
        '{ action = "weather_alarm", resource = "*", effect = "deny" }, '
        '{ action = "weahter", resource = "*", effect = "deny" }, '
        '{ action = "*", resource = "*.key", effect = "deny" }]'
    )
    async with host(
        tmp_path,
        ScriptedProvider(),
        *tools(),
        plugins=[Weather()],
        environment={"DOVETAIL_CONFIG": str(mine)},
    ) as runtime:
        await runtime.location(tmp_path).tools()
    told = [one.getMessage() for one in caplog.records]
    odd = [one for one in told if "is known to ask" in one]
    assert len(odd) == 3
    assert "'write'" in odd[0]
    assert "permissions.rules[0]" in odd[0]
    assert "external_directory, look, read" in odd[0]
    assert "did you mean 'read'" in odd[1]
    assert "did you mean 'weather'" in odd[2]


@pytest.mark.law("access.9")
@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ([READ.format("x" * (MAX_PATTERN + 1))], f"over {MAX_PATTERN} characters"),
        ([READ.format("x")] * (MAX_RULES + 1), f"at most {MAX_RULES}"),
    ],
)
async def test_rules_are_bounded(rules: list[str], why: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(f"permissions.rules = [{', '.join(rules)}]")
    async with host(
        tmp_path, ScriptedProvider(), environment={"DOVETAIL_CONFIG": str(mine)}
    ) as runtime:
        with pytest.raises(ConfigurationError, match=why):
            await runtime.location(tmp_path).tools()


def tools() -> tuple[Tool[Nothing, str], ...]:
    """Two tools: one says what it asks, one does not."""
    asks = [Action("read", "path"), Action("external_directory", "folder")]
    return (
        Tool("show", "Show it.", Nothing, _nothing, asks=asks),
        Tool("look", "Look at it.", Nothing, _nothing),
    )
