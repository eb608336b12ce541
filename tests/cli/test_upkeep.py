"""``export``, ``import``, ``verify`` and ``prune``: logs that move, last and shrink."""

import json
from collections.abc import Callable

import anyio
from dovetail.kernel import open_runtime
from dovetail.kernel.testing.scripted import ScriptedProvider, call, calls, text
from support.commands import MODEL, Done, Home
from support.damage import harm


def record(home: Home, id: str = "mine") -> str:
    """Record a session in which something was asked and answered; return its id."""
    provider = ScriptedProvider(text("Grüße\x1b[2J!"))

    async def run() -> str:
        async with open_runtime(home.url, plugins=[provider]) as runtime:
            session = await runtime.sessions.create(
                id, location=home.work, model=provider.model, title="a title"
            )
            await session.prompt("hi", key="one")
            await session.wait()
            return session.id

    return anyio.run(run)


def elsewhere(home: Home) -> tuple[str, str]:
    return ("--db", f"sqlite:///{home.path / 'other.db'}")


def test_a_session_is_exported_and_imported(
    home: Home, do: Callable[..., Done]
) -> None:
    id = record(home)
    exported = do("export", id)
    assert (exported.code, exported.err) == (0, "")
    assert exported.out.isascii()
    assert "\x1b" not in exported.out
    file = home.work / "session.jsonl"
    file.write_text(exported.out)
    count = len(exported.lines())

    done = do("import", str(file), *elsewhere(home))
    assert (done.code, done.out) == (0, "")
    assert done.err == f"{id}: {count} new events, the last one is {count - 1}\n"
    again = do("import", str(file), *elsewhere(home))
    assert again.err == f"{id}: 0 new events, the last one is {count - 1}\n"
    assert do("log", id, "--json", *elsewhere(home)).out == do("log", id, "--json").out
    assert do("show", id, *elsewhere(home)).out == do("show", id).out
    assert do("export", id, *elsewhere(home)).out == exported.out
    assert do("export", id, "--after", "3").lines() == exported.lines()[4:]


def test_complete_outputs_travel_and_are_cleaned_up(
    home: Home, do: Callable[..., Done]
) -> None:
    (home.work / "long.txt").write_text("".join(f"line {n}\n" for n in range(9000)))
    provider = ScriptedProvider(
        calls(call("bash", {"command": "cat long.txt"}, id="1")), text("ok")
    )

    async def run() -> str:
        async with open_runtime(
            home.url, plugins=[provider], on_permission="allow"
        ) as runtime:
            session = await runtime.sessions.create(
                location=home.work, model=provider.model
            )
            await session.prompt("hi")
            await session.wait()
            return session.id

    id = anyio.run(run)
    small, whole = do("export", id), do("export", id, "--outputs")
    assert whole.out.startswith(small.out)
    [output] = whole.lines()[len(small.lines()) :]
    assert output["text"].startswith((home.work / "long.txt").read_text())
    file = home.work / "session.jsonl"
    file.write_text(whole.out)
    done = do("import", str(file), *elsewhere(home))
    assert (done.code, done.err.endswith(", 1 new outputs\n")) == (0, True)
    assert do("export", id, "--outputs", *elsewhere(home)).out == whole.out

    file.write_text(whole.out.replace("line 77\\n", "line 78\\n"))
    done = do("import", str(file), "--db", f"sqlite:///{home.path / 'third.db'}")
    count = len(whole.lines())
    assert done.code == 2
    assert f"line {count}" in done.err
    assert "not the SHA-256" in done.err

    assert "0 outputs were cleaned up" in do("prune", "--outputs").err
    assert do("prune", id, "--outputs").code == 2
    assert do("prune").code == 2
    done = do("prune", "--outputs", "--json")
    assert json.loads(done.out)["left"] == output["size"]


def test_what_log_prints_can_be_imported_too(
    home: Home, do: Callable[..., Done]
) -> None:
    id = record(home)
    file = home.work / "log.jsonl"
    file.write_text(do("log", id, "--json").out + "\n\n")

    assert do("import", str(file), *elsewhere(home)).code == 0

    assert do("export", id, *elsewhere(home)).out == do("export", id).out


def test_verifying_nothing_says_so(do: Callable[..., Done]) -> None:
    for options in ([], ["--json"]):
        done = do("verify", *options)
        assert (done.code, done.out, done.err) == (0, "", "no sessions\n")


def test_a_replica_is_not_prompted(home: Home, do: Callable[..., Done]) -> None:
    id = record(home)
    file = home.work / "session.jsonl"
    file.write_text(do("export", id).out)
    assert do("import", str(file), "--owner", "origin", *elsewhere(home)).code == 0

    done = do("run", "more", "--session", id, "--model", MODEL, *elsewhere(home))
    assert done.code == 1
    assert done.err.endswith("[event.foreign_owner]\n")
    thief = do("import", str(file), "--owner", "thief", *elsewhere(home))
    assert thief.err.endswith("[event.foreign_owner]\n")


def test_what_is_wrong_is_refused_with_its_line_and_code(
    home: Home, do: Callable[..., Done]
) -> None:
    id = record(home)
    lines = do("export", id).out.splitlines(keepends=True)
    file = home.work / "session.jsonl"
    for content, code in (
        ("".join([*lines[:3], "nonsense\n", *lines[3:]]), "value.undecodable"),
        ("".join([*lines[:3], *lines[4:]]), "event.gap"),
        ("".join(lines).replace("a title", "another"), "event.damaged"),
    ):
        file.write_text(content)
        done = do("import", str(file), *elsewhere(home))
        assert done.code != 0
        assert done.err.endswith(f"[{code}]\n")
        if code == "value.undecodable":
            assert "line 4" in done.err
    assert do("sessions", "--json", *elsewhere(home)).out == ""
    file.write_text("")
    assert do("import", str(file), *elsewhere(home)).err == "no events\n"
    assert do("import", "nowhere.jsonl").code == 2
    assert do("export", "nobody").err.endswith("[session.not_found]\n")


def test_sound_sessions_are_said_to_be_sound(
    home: Home, do: Callable[..., Done]
) -> None:
    ids = [record(home, name) for name in ("a", "b")]
    done = do("verify")
    assert done.code == 0
    assert [line.split()[:2] for line in done.out.splitlines()] == [
        [id, "sound,"] for id in ids
    ]
    [one] = do("verify", "b", "--json").lines()
    assert one["first_bad"] is None
    assert do("verify", "nobody").code == 2


def test_damage_is_named_and_set_aside_when_asked(
    home: Home, do: Callable[..., Done]
) -> None:
    for name in ("a", "b"):
        record(home, name)
    last = do("log", "b", "--json").lines()[-1]["seq"]
    harm(
        home.path / "sessions.db",
        "UPDATE event SET data = x'7b7d' WHERE seq = 3 AND aggregate ="
        " (SELECT id FROM aggregate WHERE session_id = 'b')",
    )

    done = do("verify")
    assert done.code == 1
    sound, damaged = done.out.splitlines()
    assert sound.startswith("a  sound")
    assert damaged.startswith("b  damaged from event 3 on")
    assert done.err == "to set aside what cannot be trusted: dovetail verify --repair\n"

    repaired = do("verify", "b", "--repair")
    assert repaired.code == 0
    assert repaired.err == (
        f"b: {last - 2} events were set aside; it goes on at {last + 1}\n"
    )
    assert do("verify").code == 0
    kinds = [event["kind"] for event in do("log", "b", "--json").lines()]
    assert kinds[3:] == [*["event.set_aside"] * (last - 2), "session.repaired"]
    [line] = [json.dumps(one) for one in do("verify", "b", "--json").lines()]
    assert '"first_bad": null' in line


def test_what_was_said_goes_only_when_that_is_asked_for(
    home: Home, do: Callable[..., Done]
) -> None:
    id = record(home)
    whole = do("log", id, "--json").lines()
    kept = do("prune", id, "--before", "0")
    assert (kept.code, kept.out) == (0, "")
    told = f"{id}: 0 events lost their content, 0 bytes; on disk "
    assert kept.err.startswith(told)
    assert do("log", id, "--json").lines() == whole
    [done] = do("prune", id, "--transcript", "--json").lines()
    assert done["session_id"] == id
    assert done["events"] > 1
    shown = do("show", id)
    assert "[removed]" in shown.out
    assert "Grüße" not in shown.out
    assert do("verify", id).code == 0
    assert do("prune", "nobody").err.endswith("[session.not_found]\n")
    assert do("prune", id, "--before", "-1").code == 2
