"""Going back: what follows is hidden, and the session's files are as they were."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from dovetail.builtin_tools import plugin as builtin_tools
from dovetail.builtin_tools._files import Files
from dovetail.builtin_tools._restore import restore
from dovetail.kernel import (
    FilesRestored,
    InvalidValueError,
    Location,
    MessageNotFoundError,
    MessageSharedError,
    ModelRequest,
    NothingRevertedError,
    PromptAdmitted,
    Restoration,
    Runtime,
    Session,
    SessionBusyError,
    SessionReverted,
    Tool,
    ToolContext,
)
from dovetail.kernel.testing.scripted import (
    Gate,
    ScriptedProvider,
    call,
    calls,
    finish,
    text,
)
from dovetail.plugins.context import plugin as context
from support.bounds import HANG
from support.compactions import shipped
from support.hosts import host
from support.wire import Wire


def writes(path: str, content: str, id: str = "w") -> list[Any]:
    return calls(call("write", {"path": path, "content": content}, id=id))


def edits(path: str, old: str, new: str) -> list[Any]:
    given = {"path": path, "old_string": old, "new_string": new}
    return calls(call("edit", given))


def patches(*lines: str) -> list[Any]:
    patch = "\n".join(["*** Begin Patch", *lines, "*** End Patch", ""])
    return calls(call("apply_patch", {"input": patch}))


async def say(session: Session, words: str) -> None:
    await session.prompt(words)
    with anyio.fail_after(HANG):
        await session.wait()


async def said(session: Session) -> list[str]:
    return [one.text for one in await session.history() if one.text]


async def message(session: Session, words: str) -> str:
    """Return the id of the message with these words."""
    page = await session.messages(limit=200)
    return next(one.id for one in page if one.text == words)


def opened(folder: Path, provider: ScriptedProvider) -> Any:
    return host(folder, provider, plugins=[builtin_tools], on_permission="allow")


async def started(runtime: Runtime, folder: Path, provider: Any) -> Session:
    work = folder / "work"
    work.mkdir(exist_ok=True)
    return await runtime.sessions.create("s", location=work, model=provider.model)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.mark.law("travel.4")
async def test_what_follows_is_hidden_and_files_are_as_they_were(
    tmp_path: Path, work: Path
) -> None:
    (work / "a.txt").write_text("one\n")
    (work / "gone.txt").write_text("still here\n")
    (work / "old.txt").write_text("moves\n")
    provider = Wire(
        "openai-chat",
        text("Hello."),
        edits("a.txt", "one", "two"),
        writes("new/b.txt", "made"),
        writes("a.txt", "three\n"),
        calls(call("bash", {"command": "echo by hand > by-bash.txt"})),
        text("Done."),
    )
    async with opened(tmp_path, provider) as runtime:
        session = await started(runtime, tmp_path, provider)
        await say(session, "Hi")
        await say(session, "Change things")
        assert (work / "a.txt").read_text() == "three\n"
        to = await message(session, "Hello.")

        plan = await session.plan_revert(to)
        assert [(os.path.basename(one.path), one.problem) for one in plan.files] == [
            ("a.txt", None),
            ("b.txt", None),
        ]
        assert plan.messages == 6
        assert (work / "a.txt").read_text() == "three\n"

        done = await session.revert(to)
        assert [os.path.basename(one) for one in done.done] == ["a.txt", "b.txt"]
        assert done.left == {}
        assert (work / "a.txt").read_text() == "one\n"
        assert not (work / "new").exists()
        # Files and files only: what a command did stays.
        assert (work / "by-bash.txt").exists()
        assert await said(session) == ["Hi", "Hello."]
        # The transcript stays whole.
        assert len(await session.messages(limit=200)) == 8

        back = await session.unrevert()
        assert len(back.done) == 2
        assert (work / "a.txt").read_text() == "three\n"
        assert (work / "new/b.txt").read_text() == "made"
        assert (await said(session))[-1] == "Done."
        with pytest.raises(NothingRevertedError):
            await session.unrevert()


@pytest.mark.law("travel.4")
@pytest.mark.law("travel.1")
async def test_a_new_prompt_lets_go_of_what_is_hidden_for_good(
    tmp_path: Path, work: Path
) -> None:
    provider = Wire(
        "anthropic-messages",
        *(text("A0"), text("A1"), text("A2"), text("A3"), text("A4")),
    )
    async with opened(tmp_path, provider) as runtime:
        session = await started(runtime, tmp_path, provider)
        for words in ("one", "two", "three"):
            await say(session, words)
        await session.revert(await message(session, "A1"))
        await session.revert(await message(session, "A0"))
        assert await said(session) == ["one", "A0"]
        with pytest.raises(InvalidValueError):
            await session.revert(await message(session, "A1"))
        await session.unrevert()
        assert await said(session) == ["one", "A0", "two", "A1", "three", "A2"]

        await session.revert(await message(session, "A0"))
        await say(session, "other")
        expected = ["one", "A0", "other", "A3"]
        assert await said(session) == expected
        with pytest.raises(NothingRevertedError):
            await session.unrevert()
        # One more, and undone: what was let go of stays so.
        await session.revert(await message(session, "other"))
        assert await said(session) == ["one", "A0", "other"]
        await session.unrevert()
        assert await said(session) == expected

    async with opened(tmp_path, Wire("anthropic-messages", text("A5"))) as runtime:
        session = await runtime.sessions.get("s")
        assert await said(session) == expected
        fork = await session.fork()
        assert await said(fork) == expected
        await say(fork, "and on")
        assert (await said(fork))[:4] == expected
        for one in await session.requests():
            assert (await session.request(one.number)).proven
        (request,) = await fork.requests()
        assert (await fork.request(request.number)).proven


@pytest.mark.law("travel.4")
async def test_a_summary_lets_go_of_what_it_knows_nothing_of(tmp_path: Path) -> None:
    provider = ScriptedProvider(
        *(text("A0"), text("A1"), text("A2"), text("Summed up."), text("A3"))
    )
    async with host(tmp_path, provider, plugins=[builtin_tools, shipped]) as runtime:
        session = await started(runtime, tmp_path, provider)
        for words in ("one", "two", "three"):
            await say(session, words)
        await session.revert(await message(session, "A1"))
        await session.compact()
        with anyio.fail_after(HANG):
            await session.wait()
        summed = await said(session)
        assert "Summed up." in summed[0]
        with pytest.raises(NothingRevertedError, match="or a compaction"):
            await session.unrevert()
        await session.revert(await message(session, "A1"))
        assert await said(session) == ["one", "A0", "two", "A1"]
        await session.unrevert()
        assert await said(session) == summed


@pytest.mark.law("travel.4")
async def test_what_somebody_else_changed_is_named_and_stays(
    tmp_path: Path, work: Path
) -> None:
    for name in ("since", "between", "fine"):
        (work / name).write_text("0\n")
    provider = ScriptedProvider(
        text("Hello."),
        *(writes("since", "1\n"), writes("between", "1\n"), writes("fine", "1\n")),
        text("First."),
        *(writes("between", "3\n"), writes("big", "x" * 3_000_000)),
        text("Second."),
    )
    async with opened(tmp_path, provider) as runtime:
        session = await started(runtime, tmp_path, provider)
        await say(session, "Hi")
        await say(session, "Write")
        (work / "between").write_text("2\n")
        await say(session, "Write more")
        (work / "since").write_text("by hand\n")

        to = await message(session, "Hello.")
        plan = await session.plan_revert(to)
        problems = {os.path.basename(one.path): one.problem for one in plan.files}
        assert problems == {
            "since": "somebody changed it since",
            "between": "somebody else changed it in between",
            "fine": None,
            "big": "it has 3,000,000 bytes, and up to 2,097,152 are kept",
        }
        done = await session.revert(to)
        assert [os.path.basename(one) for one in done.done] == ["fine"]
        assert {os.path.basename(path): why for path, why in done.left.items()} == {
            name: why for name, why in problems.items() if why
        }
        held = {name: (work / name).read_text() for name in ("since", "between")}
        assert held == {"since": "by hand\n", "between": "3\n"}
        assert (work / "fine").read_text() == "0\n"
        # What was not restored is not brought back either.
        (work / "fine").write_text("mine\n")
        back = await session.unrevert()
        assert list(back.left.values()) == ["somebody changed it since"]
        assert (work / "fine").read_text() == "mine\n"


@pytest.mark.law("travel.4")
async def test_a_patch_is_taken_back_whole(tmp_path: Path, work: Path) -> None:
    (work / "a").write_text("a\n")
    (work / "gone").write_text("gone\n")
    (work / "old").write_text("moves\n")
    patch = (
        *("*** Add File: new", "+new", "*** Update File: a", "@@", "-a", "+b"),
        *("*** Delete File: gone", "*** Update File: old", "*** Move to: sub/moved"),
    )
    answers = text("Hello."), patches(*patch), text("Done.")
    provider = ScriptedProvider(*answers, name="gpt-5")
    async with opened(tmp_path, provider) as runtime:
        session = await started(runtime, tmp_path, provider)
        await say(session, "Hi")
        await say(session, "Patch")
        assert sorted(os.listdir(work)) == ["a", "new", "sub"]
        done = await session.revert(await message(session, "Hello."))
        assert done.left == {}
        assert sorted(os.listdir(work)) == ["a", "gone", "old"]
        held = [(work / name).read_text() for name in ("a", "gone", "old")]
        assert held == ["a\n", "gone\n", "moves\n"]
        assert (await session.unrevert()).left == {}
        assert (work / "sub/moved").read_text() == "moves\n"
        assert not (work / "gone").exists()


@pytest.mark.law("travel.9")
async def test_folders_that_were_made_go_where_nothing_else_is_in_them(
    tmp_path: Path, work: Path
) -> None:
    (work / "was").mkdir()
    provider = ScriptedProvider(
        *(text("Hello."), text("Wrote nothing.")),
        *(writes("a/b/c/one", "1"), writes("a/b/two", "2"), writes("was/it", "3")),
        *(writes("x/y/one", "4"), writes("x/two", "5"), text("Done.")),
    )
    async with opened(tmp_path, provider) as runtime:
        session = await started(runtime, tmp_path, provider)
        await say(session, "Hi")
        await say(session, "Nothing yet")
        await say(session, "Write")
        (work / "x/y/mine").touch()
        to = await message(session, "Hello.")
        await session.plan_revert(to)
        assert (work / "a/b/c/one").exists()
        assert (await session.revert(to)).left == {}
        assert sorted(os.listdir(work)) == ["was", "x"]
        assert [os.listdir(work / one) for one in ("x", "x/y")] == [["y"], ["mine"]]
        assert (await session.unrevert()).left == {}
        assert (work / "a/b/c/one").read_text() == "1"
        # They go with it again, and what came and went is nothing to restore.
        between = await message(session, "Wrote nothing.")
        await session.revert(between)
        assert not (work / "a").exists()
        assert (await session.plan_revert(to)).files == ()
        assert (await session.revert(to)).done == ()
        await session.unrevert()
        # Once more, by whoever goes on with it after the file and one folder are gone.
        await cut_off(session, "Hello.")
        (work / "a/b/c/one").unlink()
        (work / "a/b/c").rmdir()
        provider.then(text("On."))
        await say(session, "On")
        assert not (work / "a").exists()


@pytest.mark.law("travel.4")
@pytest.mark.law("access.2")
@pytest.mark.parametrize("how", ["file", "folder", "directory", "fifo"])
async def test_what_took_the_place_of_a_file_is_never_followed(
    tmp_path: Path, work: Path, how: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_text("changed\n")
    (work / "d").mkdir()
    (work / "d/f").write_text("was\n")
    provider = ScriptedProvider(
        text("Hello."), writes("d/f", "changed\n"), text("Done.")
    )
    async with opened(tmp_path, provider) as runtime:
        session = await started(runtime, tmp_path, provider)
        await say(session, "Hi")
        await say(session, "Write")
        (work / "d/f").unlink()
        if how == "file":
            (work / "d/f").symlink_to(outside / "f")
        elif how == "folder":
            (work / "d").rmdir()
            (work / "d").symlink_to(outside)
        elif how == "directory":
            (work / "d/f").mkdir()
        else:
            os.mkfifo(work / "d/f")
        done = await session.revert(await message(session, "Hello."))
        assert done.done == ()
        assert len(done.left) == 1
        assert (outside / "f").read_text() == "changed\n"


@pytest.mark.law("travel.4")
async def test_nothing_is_turned_while_it_runs(tmp_path: Path, work: Path) -> None:
    gate = Gate()
    provider = ScriptedProvider(text("Hello."), [gate, finish()])
    async with opened(tmp_path, provider) as runtime:
        session = await started(runtime, tmp_path, provider)
        await say(session, "Hi")
        to = await message(session, "Hello.")
        await session.prompt("Go on")
        with anyio.fail_after(HANG):
            await gate.reached()
        with pytest.raises(SessionBusyError):
            await session.revert(to)
        gate.open()
        with anyio.fail_after(HANG):
            await session.wait()
        with pytest.raises(MessageNotFoundError):
            await session.revert("msg_nobody")


async def cut_off(session: Session, words: str) -> None:
    """As if whoever reverted was killed between the commit that hides and the first
    file."""
    plan = await session.plan_revert(await message(session, words))
    event = SessionReverted(
        session_id=session.id,
        message_id=plan.message_id,  # type: ignore[arg-type]
        first=plan.first,
        files=tuple(one.change for one in plan.files),
        tools={one.path: str(one.tool) for one in plan.files},
    )
    await session._log.append(event)


async def receipts(session: Session) -> list[FilesRestored]:
    return [one async for one in session.events() if isinstance(one, FilesRestored)]


@pytest.mark.law("travel.4")
async def test_what_was_pruned_is_named_as_not_known(
    tmp_path: Path, work: Path
) -> None:
    provider = ScriptedProvider(
        *(text("Hello."), writes("a", "1"), calls(call("read", {"path": "a"}, id="r"))),
        *(text("Done."), writes("b", "1"), text("Done again.")),
    )
    async with opened(tmp_path, provider) as runtime:
        session = await started(runtime, tmp_path, provider)
        for words in ("Hi", "Write", "Write more"):
            await say(session, words)
        to = await message(session, "Hello.")
        [more] = [
            one.seq
            async for one in session.events()
            if isinstance(one, PromptAdmitted) and one.prompt.text == "Write more"
        ]
        await runtime.sessions.prune("s", ("trace", "transcript"), before=more)
        plan = await session.plan_revert(to)
        assert [os.path.basename(one.path) for one in plan.files] == ["b"]
        assert [one.tool for one in plan.unsure] == ["write"]
        await session.revert(to)
        assert os.listdir(work) == ["a"]


@pytest.mark.law("travel.4")
@pytest.mark.parametrize("cut", [False, True])
async def test_a_log_from_elsewhere_is_no_reason_to_touch_files(
    tmp_path: Path, work: Path, cut: bool
) -> None:
    """Even where this store knows all that they held."""
    provider = ScriptedProvider(text("Hello."), writes("a", "is\n"), text("Done."))
    async with opened(tmp_path, provider) as runtime:
        session = await started(runtime, tmp_path, provider)
        await say(session, "Hi")
        await say(session, "Write")
        if cut:
            await cut_off(session, "Hello.")
        exported = [one async for one in session.export()]
    (work / "a").unlink()
    other = tmp_path / "other"
    other.mkdir()
    provider = ScriptedProvider(text("Hello."), writes("a", "is\n"), text("Done."))
    async with opened(other, provider) as runtime:
        mine = await runtime.sessions.create("m", work, provider.model)
        await say(mine, "Hi")
        await say(mine, "Write")
        await runtime.sessions.replay(exported)
        session = await runtime.sessions.get("s")
        if cut:
            provider.then(text("On."))
            await session.prompt("On")
            with anyio.fail_after(HANG):
                await session.wait()
        else:
            made = await session.revert(await message(session, "Hello."))
            assert list(made.left.values()) == ["it was changed in another store"]
        assert (work / "a").read_text() == "is\n"


@pytest.mark.law("travel.4")
async def test_what_was_reverted_elsewhere_brings_no_file_back(
    tmp_path: Path, work: Path
) -> None:
    provider = ScriptedProvider(text("Hello."), writes("a", "is\n"), text("Done."))
    async with opened(tmp_path, provider) as runtime:
        session = await started(runtime, tmp_path, provider)
        await say(session, "Hi")
        await say(session, "Write")
        await session.revert(await message(session, "Hello."))
        exported = [one async for one in session.export()]
    other = tmp_path / "other"
    other.mkdir()
    provider = ScriptedProvider(writes("a", "is\n"), text("Done."))
    async with opened(other, provider) as runtime:
        mine = await runtime.sessions.create("m", work, provider.model)
        await say(mine, "Write")
        (work / "a").unlink()
        await runtime.sessions.replay(exported)
        made = await (await runtime.sessions.get("s")).unrevert()
        assert list(made.left.values()) == ["it was changed in another store"]
        assert not (work / "a").exists()


@pytest.mark.law("travel.4")
@pytest.mark.parametrize("restored", [True, False])
async def test_who_is_killed_in_between_has_its_work_finished_by_the_next(
    tmp_path: Path, work: Path, restored: bool
) -> None:
    (work / "a").write_text("was\n")
    provider = ScriptedProvider(text("Hello."), writes("a", "is\n"), text("Done."))
    async with opened(tmp_path, provider) as runtime:
        session = await started(runtime, tmp_path, provider)
        await say(session, "Hi")
        await say(session, "Write")
        await cut_off(session, "Hello.")
        if restored:
            (work / "a").write_text("was\n")
    async with opened(tmp_path, ScriptedProvider()) as runtime:
        session = await runtime.sessions.get("s")
        assert await said(session) == ["Hi", "Hello."]
        await session.unrevert()
        assert (work / "a").read_text() == "is\n"
        assert [len(one.done) for one in await receipts(session)] == [1, 1]
        assert (await said(session))[-1] == "Done."


@pytest.mark.law("travel.4")
@pytest.mark.parametrize("how", ["prompt", "resume", "fork"])
async def test_the_model_goes_on_only_when_what_was_cut_off_is_finished(
    tmp_path: Path, work: Path, how: str
) -> None:
    for name in ("a", "b"):
        (work / name).write_text("was\n")
    provider = ScriptedProvider(
        text("Hello."),
        [*writes("a", "is\n", "1")[:-1], *writes("b", "is\n", "2")],
        text("Done."),
    )
    async with opened(tmp_path, provider) as runtime:
        session = await started(runtime, tmp_path, provider)
        await say(session, "Hi")
        await say(session, "Write")
        if how == "resume":
            await session.prompt("And on", delivery="queue", resume=False)
        await cut_off(session, "Hello.")
        (work / "b").write_text("was\n")

    def looks(request: ModelRequest) -> list[Any]:
        return text(f"{(work / 'a').read_text()}{(work / 'b').read_text()}")

    async with opened(tmp_path, ScriptedProvider(looks)) as runtime:
        session = await runtime.sessions.get("s")
        report = await session.continuation()
        assert report.restoring == (str(work / "a"), str(work / "b"))
        assert report.clean
        goes_on = await session.fork() if how == "fork" else session
        if how == "resume":
            with anyio.fail_after(HANG):
                await session.resume()
        else:
            await say(goes_on, "And on")
        assert (await said(goes_on))[-1] == "was\nwas\n"
        assert [sorted(one.done) for one in await receipts(session)] == [
            [str(work / "a"), str(work / "b")]
        ]
        assert (await session.continuation()).restoring == ()


@pytest.mark.law("travel.4")
async def test_a_prompt_in_the_middle_of_a_revert_waits_for_all_of_its_files(
    tmp_path: Path, work: Path
) -> None:
    reached, gate, restores = anyio.Event(), anyio.Event(), list[str]()

    async def slow(location: Location, wanted: Restoration) -> str | None:
        if not wanted.look:
            restores.append(wanted.path)
            if len(restores) == 2:
                reached.set()
                await gate.wait()
        return await restore(Files(), location, wanted)

    async def change(input: Nothing, context: ToolContext) -> str:
        for name in "abc":
            (work / name).write_text("is\n")
            context.changed(str(work / name), b"was\n", b"is\n")
        return "done"

    def looks(request: ModelRequest) -> list[Any]:
        return text("".join((work / name).read_text() for name in "abc"))

    tool = Tool("change", "x.", Nothing, change, effect="unsafe", restore=slow)
    provider = ScriptedProvider(
        *(text("Hello."), calls(call("change")), text("Done."), looks)
    )
    for name in "abc":
        (work / name).write_text("was\n")
    async with host(tmp_path, provider, tool) as runtime:
        session = await started(runtime, tmp_path, provider)
        await say(session, "Hi")
        await say(session, "Change")
        to = await message(session, "Hello.")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.revert, to)
            with anyio.fail_after(HANG):
                await reached.wait()
            await say(session, "And on")
            assert (await said(session))[-1] == "was\nwas\nwas\n"
            gate.set()
        assert len(await receipts(session)) == 1


@pytest.mark.law("travel.4")
@pytest.mark.law("travel.5")
async def test_files_of_where_it_worked_before_are_restored_from_elsewhere(
    tmp_path: Path, work: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    provider = ScriptedProvider(
        *(text("Hello."), writes("d/a", "1"), text("Done."), writes("b", "2")),
        *(text("Done there."), text("On.")),
    )
    async with opened(tmp_path, provider) as runtime:
        session = await started(runtime, tmp_path, provider)
        await say(session, "Hi")
        await say(session, "Write")
        await session.move(other)
        await say(session, "Write there")
        await cut_off(session, "Hello.")
        assert (await session.continuation()).clean
        await say(session, "On")
        assert (os.listdir(work), os.listdir(other)) == ([], [])
        assert (await session.info()).location.directory == str(other)


@pytest.mark.law("travel.4")
async def test_a_plan_knows_of_what_is_not_finished(tmp_path: Path, work: Path) -> None:
    (work / "a").write_text("0\n")
    (work / "b").write_text("0\n")
    provider = ScriptedProvider(
        text("First."),
        *(writes("a", "1\n"), text("Second.")),
        *(writes("a", "2\n"), writes("b", "2\n"), text("Third.")),
    )
    async with opened(tmp_path, provider) as runtime:
        session = await started(runtime, tmp_path, provider)
        for words in ("Hi", "Write", "Write more"):
            await say(session, words)
        await cut_off(session, "Second.")
        plan = await session.plan_revert(await message(session, "First."))
        assert [(os.path.basename(one.path), one.problem) for one in plan.files] == [
            ("a", None),
            ("b", None),
        ]
        done = await session.revert(await message(session, "First."))
        assert (done.done, done.left) == ((str(work / "a"),), {})
        assert [(work / name).read_text() for name in ("a", "b")] == ["0\n", "0\n"]


@pytest.mark.law("travel.4")
@pytest.mark.law("travel.3")
async def test_a_fork_goes_back_to_where_it_began_and_no_further(
    tmp_path: Path, work: Path
) -> None:
    (work / "a").write_text("0\n")
    provider = ScriptedProvider(
        *(text("First."), writes("a", "1\n"), text("Second."), text("Third.")),
        *(writes("a", "2\n"), text("Aside.")),
    )
    async with opened(tmp_path, provider) as runtime:
        session = await started(runtime, tmp_path, provider)
        for words in ("One", "Two", "Three"):
            await say(session, words)
        shared = {one: await message(session, one) for one in ("First.", "Second.")}
        fork = await session.fork(shared["Second."])
        await say(fork, "Go aside")
        with pytest.raises(MessageSharedError) as refused:
            await fork.plan_revert(shared["First."])
        assert refused.value.origin == session.id
        # What it says to do is what can be done.
        assert await said(await fork.fork(shared["First."])) == ["One", "First."]
        with pytest.raises(MessageNotFoundError):
            await fork.revert(await message(session, "Third."))

        assert (await fork.revert(shared["Second."])).left == {}
        assert (work / "a").read_text() == "1\n"
        assert await said(fork) == ["One", "First.", "Two", "Second."]
        await fork.unrevert()
        assert (work / "a").read_text() == "2\n"
        assert (await said(fork))[-1] == "Aside."
        # What is hidden behind a message is not behind it for the model.
        await session.revert(shared["First."])
        short = await session.fork()
        with pytest.raises(InvalidValueError):
            await short.revert(shared["Second."])
        assert (await short.plan_revert(shared["First."])).messages == 0


@frozen
class Nothing:
    pass


@frozen
class Change:
    told: bool


@pytest.mark.law("travel.4")
@pytest.mark.parametrize("told", [True, False])
async def test_what_a_call_did_before_it_was_interrupted_is_restored_or_named(
    tmp_path: Path, work: Path, told: bool
) -> None:
    (work / "a").write_text("was\n")
    begun = anyio.Event()

    async def change(input: Change, context: ToolContext) -> str:
        (work / "a").write_text("is\n")
        if input.told:
            context.changed(str(work / "a"), b"was\n", b"is\n")
        begun.set()
        await anyio.sleep_forever()
        return ""

    tool = Tool(
        *("change", "Change a.", Change, change),
        effect="unsafe",
        restore=partial(restore, Files()),
    )
    provider = ScriptedProvider(
        text("Hello."), calls(call("change", {"told": told}, id="c"))
    )
    async with host(tmp_path, provider, tool) as runtime:
        session = await started(runtime, tmp_path, provider)
        await say(session, "Hi")
        await session.prompt("Change it")
        with anyio.fail_after(HANG):
            await begun.wait()
            await session.interrupt()
            await session.wait()
        to = await message(session, "Hello.")
        plan = await session.plan_revert(to)
        assert [one.path for one in plan.files] == [str(work / "a")] * told
        assert [(one.tool, one.call_id) for one in plan.unsure] == (
            [] if told else [("change", "c")]
        )
        assert (await session.revert(to)).left == {}
        assert (work / "a").read_text() == ("was\n" if told else "is\n")


@pytest.mark.law("travel.7")
async def test_the_to_do_list_is_that_of_the_message(tmp_path: Path) -> None:
    def lists(content: str, id: str) -> list[Any]:
        return calls(
            call("todowrite", {"todos": [{"id": "1", "content": content}]}, id=id)
        )

    provider = ScriptedProvider(
        *(text("Hello."), lists("one", "c1"), text("First.")),
        *(lists("two", "c2"), lists("three", "c3"), text("Second.")),
    )

    async def todo(session: Session) -> list[str]:
        return [one.content for one in await session.todos()]

    async with opened(tmp_path, provider) as runtime:
        session = await started(runtime, tmp_path, provider)
        for words in ("Hi", "List", "List more"):
            await say(session, words)
        before = await session.fork(await message(session, "Second."))
        for words, held in (("First.", ["one"]), ("Hello.", [])):
            await session.revert(await message(session, words))
            assert await todo(session) == held
            # Whoever goes on from there has that list, and from elsewhere another one.
            assert await todo(await session.fork()) == held
            assert await todo(before) == ["three"]
            await runtime.sessions.rebuild(session.id)
            assert await todo(session) == held
        there = await session.fork(await message(session, "First."))
        assert await todo(there) == ["one"]
        await session.unrevert()
        assert await todo(session) == ["three"]
        await session.revert(await message(session, "First."))
        # A revert that hides no list says nothing of it.
        turns = [
            one async for one in session.events() if isinstance(one, SessionReverted)
        ]
        assert turns[-1].todos is not None
        await session.revert(await message(session, "First."))
        turns = [
            one async for one in session.events() if isinstance(one, SessionReverted)
        ]
        assert turns[-1].todos is None
        exported = [one async for one in session.export()]

    provider = ScriptedProvider(text("On."), lists("four", "c4"), text("Third."))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    async with opened(elsewhere, provider) as runtime:
        await runtime.sessions.replay(exported)
        session = await runtime.sessions.get("s")
        assert await todo(session) == ["one"]
        await say(session, "Go on")
        assert await todo(session) == ["one"]
        await say(session, "List")
        await session.revert(await message(session, "On."))
        assert await todo(session) == ["one"]


@pytest.mark.law("access.6")
async def test_a_content_with_a_key_is_not_kept(tmp_path: Path, work: Path) -> None:
    from dovetail.kernel import Provider, Redactor, Register, hookimpl

    key = "sk-0123456789abcdefghij"
    (work / ".env").write_text(f"KEY={key}\n")
    provider = ScriptedProvider(
        text("Hello."), edits(".env", "KEY=", "NAME="), text("Done.")
    )

    class Keyed:
        name = "keyed"

        @hookimpl
        def dovetail_register_providers(self, register: Register[Provider]) -> None:
            register(Provider("k", route=lambda _: provider, redact=Redactor([key])))

    plugins = [builtin_tools, Keyed()]
    given: Any = {"plugins": plugins, "on_permission": "allow"}
    async with host(tmp_path, provider, **given) as runtime:
        session = await started(runtime, tmp_path, provider)
        await say(session, "Hi")
        await say(session, "Edit")
        (one,) = (await session.plan_revert(await message(session, "Hello."))).files
        assert one.problem == "it holds a key"
    assert key.encode() not in (tmp_path / "test.db").read_bytes()


async def test_what_a_caller_instructs_is_told_after_a_revert_as_well(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(text("1"), text("2"), text("3"))
    async with host(tmp_path, provider, plugins=[context]) as runtime:
        session = await started(runtime, tmp_path, provider)
        await say(session, "one")
        await say(session, "two")
        await session.instruct("Delete nothing.")
        await session.revert(await message(session, "two"))
        await say(session, "three")
    assert "Delete nothing." in "".join(provider.requests[-1].system)


@pytest.mark.law("travel.4")
async def test_all_that_was_said_can_be_hidden_and_brought_back(
    tmp_path: Path, work: Path
) -> None:
    provider = Wire(
        "openai-chat",
        writes("made.txt", "x"),
        text("Made."),
        text("Anew."),
        text("More."),
    )
    async with opened(tmp_path, provider) as runtime:
        session = await started(runtime, tmp_path, provider)
        await say(session, "hide these words")
        assert (work / "made.txt").exists()

        plan = await session.plan_revert(None)
        done = await session.revert(None)

        assert (plan.message_id, plan.first, plan.back) == (None, 1, False)
        assert (done.done, (work / "made.txt").exists()) == (
            (str(work / "made.txt"),),
            False,
        )
        assert await said(session) == []
        assert len((await session.messages()).items) > 0  # the transcript is whole

        back = await session.unrevert()
        assert back.plan.back
        assert (work / "made.txt").exists()
        assert await said(session) == ["hide these words", "Made."]

        await session.revert(None)
        await say(session, "begin anew")
        assert await said(session) == ["begin anew", "Anew."]
        assert "hide these words" not in str(provider.bodies[-1])
        exported = [one async for one in session.export()]
    async with host(tmp_path / "work", ScriptedProvider()) as elsewhere:
        await elsewhere.sessions.replay(exported)
        copy = await elsewhere.sessions.get("s")
        assert await said(copy) == ["begin anew", "Anew."]


@pytest.mark.law("travel.4")
async def test_of_a_fork_what_it_shares_stays(tmp_path: Path) -> None:
    provider = ScriptedProvider(text("One."), text("Two."))
    async with opened(tmp_path, provider) as runtime:
        session = await started(runtime, tmp_path, provider)
        await say(session, "first")
        fork = await session.fork()
        await say(fork, "second")
        await fork.revert(None)
        assert await said(fork) == ["first", "One."]
