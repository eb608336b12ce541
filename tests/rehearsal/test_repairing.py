"""A rehearsal repairs real programs, with tools that really run."""

import json
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from dovetail.plugins.rehearsal import copy_sample, rehearsal_server, sample_prompt
from support.bounds import HANG

TOOLS = {
    "bash": {"command": "string", "workdir": "string", "timeout_ms": "integer"},
    "edit": {"path": "string", "old_string": "string", "new_string": "string"},
    "glob": {"pattern": "string", "path": "string"},
    "grep": {"pattern": "string", "path": "string", "include": "string"},
    "read": {"path": "string", "offset": "integer", "limit": "integer"},
}


def schemas(*left_out: str) -> list[dict[str, Any]]:
    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": name,
                "parameters": {
                    "type": "object",
                    "properties": {key: {"type": kind} for key, kind in fields.items()},
                },
            },
        }
        for name, fields in TOOLS.items()
        if name not in left_out
    ]


UNITTEST = ["-B", "-m", "unittest"]

RUNNER = """
import difflib, json, os, pprint, runpy, sys, traceback, unittest.main
for order in sys.stdin:
    folder, said = json.loads(order)
    pid = os.fork()
    if not pid:
        with open(said, "wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.chdir(folder)
        sys.path[0], sys.argv[:] = folder, ["unittest"]
        code = 1
        try:
            runpy.run_module("unittest", run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = int(end.code)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Runs:
    """Runs the unit tests of folders, each time in a process of its own.

    It is forked from one that has imported ``unittest``, which takes longer than the
    tests do. What ``python -m unittest`` says from its start on is what the bash tool
    runs in ``test_in_a_session``.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, folder: Path) -> tuple[int, str]:
        """Return the exit code and what was said."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-B", "-c", RUNNER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.NamedTemporaryFile("r") as said:
            print(
                json.dumps([str(folder), said.name]),
                file=self._process.stdin,
                flush=True,
            )
            return int(self._process.stdout.readline()), said.read()

    def close(self) -> None:
        """End the process that forks."""
        if self._process is not None:
            self._process.communicate()
            self._process = None


RUNS = Runs()


@pytest.fixture(scope="module", autouse=True)
def _runs() -> Iterator[None]:
    yield
    RUNS.close()


class Hands:
    """Runs the calls in a folder. ``denied`` names tools that a person refuses."""

    def __init__(self, folder: Path, denied: str = "") -> None:
        self.folder = folder
        self.denied = denied
        self.calls: list[tuple[str, dict[str, Any], str]] = []

    def run(self, tool: str, arguments: dict[str, Any]) -> str:
        if tool == self.denied:
            result = f"permission to {tool} 'x' is denied: rejected by the person"
        else:
            result = getattr(self, tool)(**arguments)
        self.calls.append((tool, arguments, result))
        return result

    def bash(self, command: str) -> str:
        words = shlex.split(command)
        if words[1:] == UNITTEST:
            code, said = RUNS.run(self.folder)
        else:
            done = subprocess.run(
                words, cwd=self.folder, capture_output=True, text=True
            )
            code, said = done.returncode, f"{done.stdout}{done.stderr}"
        return f"{said}\n[exit code {code}]"

    def glob(self, pattern: str) -> str:
        found = sorted(self.folder.glob(pattern))
        return "\n".join(path.relative_to(self.folder).as_posix() for path in found)

    def grep(self, pattern: str, include: str) -> str:
        hits = []
        for path in sorted(self.folder.rglob(include)):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if re.search(pattern, line):
                    name = path.relative_to(self.folder).as_posix()
                    hits.append(f"{name}:{number}: {line}")
        return "\n".join(hits) or "no matches"

    def read(self, path: str) -> str:
        lines = (self.folder / path).read_text().splitlines()
        return "\n".join(f"{number}: {line}" for number, line in enumerate(lines, 1))

    def edit(self, path: str, old_string: str, new_string: str) -> str:
        file = self.folder / path
        text = file.read_text()
        if text.count(old_string) != 1:
            return f"error: old_string occurs {text.count(old_string)} times"
        file.write_text(text.replace(old_string, new_string))
        return f"edited {path}"


async def complete(
    client: httpx.AsyncClient, messages: list[Any], tools: list[Any]
) -> dict[str, Any]:
    """Return the assistant message of one streamed completion, put together."""
    body = {"model": "rehearsal", "messages": messages, "tools": tools, "stream": True}
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    calls: dict[int, dict[str, Any]] = {}
    async with client.stream("POST", "/chat/completions", json=body) as response:
        assert response.status_code == 200, await response.aread()
        async for line in response.aiter_lines():
            if not line or line == "data: [DONE]":
                continue
            for choice in json.loads(line.removeprefix("data: "))["choices"]:
                delta = choice["delta"]
                message["content"] += delta.get("content") or ""
                for piece in delta.get("tool_calls", ()):
                    call = calls.setdefault(
                        piece["index"], {"function": {"name": "", "arguments": ""}}
                    )
                    call |= {key: piece[key] for key in ("id", "type") if key in piece}
                    for key, text in piece["function"].items():
                        call["function"][key] += text
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return message


async def work(
    prompt: str,
    hands: Hands,
    tools: list[Any] | None = None,
    listen: Callable[[dict[str, Any]], None] = lambda _: None,
) -> list[Any]:
    """Go on until the model's part has finished, and return the conversation."""
    messages: list[Any] = [
        {"role": "system", "content": "You are an agent."},
        {"role": "user", "content": prompt},
    ]
    with anyio.fail_after(HANG):
        async with (
            rehearsal_server() as server,
            httpx.AsyncClient(base_url=server.base_url, trust_env=False) as client,
        ):
            for _ in range(60):
                answer = await complete(client, messages, tools or schemas())
                listen(answer)
                messages.append(answer)
                if "tool_calls" not in answer:
                    return messages
                for call in answer["tool_calls"]:
                    function = call["function"]
                    arguments = json.loads(function["arguments"])
                    result = hands.run(function["name"], arguments)
                    messages.append(
                        {"role": "tool", "tool_call_id": call["id"], "content": result}
                    )
    raise AssertionError("it never finished")


def project(folder: Path, source: str, test: str) -> None:
    (folder / "thing.py").write_text(source)
    (folder / "test_thing.py").write_text(
        f"import unittest\nimport thing\n\nclass T(unittest.TestCase):\n{test}"
    )


PROMPT = f"Fix the failing test, run `{shlex.quote(sys.executable)} -B -m unittest`."


def passes(folder: Path) -> bool:
    return RUNS.run(folder)[0] == 0


@pytest.mark.parametrize("nth", [0, 1])
async def test_a_test_run_that_was_cut_off_is_made_again(
    tmp_path: Path, nth: int
) -> None:
    """Nobody knows what it would have said: neither is the change of before judged."""

    class Cut(Hands):
        runs = -1

        def bash(self, command: str) -> str:
            self.runs += 1
            if self.runs == nth:
                return "The outcome of the call is unknown: nobody recorded one."
            return super().bash(command)

    copy_sample(tmp_path)
    hands = Cut(tmp_path)
    messages = await work(sample_prompt(), hands)
    assert passes(tmp_path)
    assert [tool for tool, _, _ in hands.calls].count("edit") == 2
    assert "outcome of the call is unknown" in str([one["content"] for one in messages])


async def test_the_sample_is_repaired_with_every_tool(tmp_path: Path) -> None:
    copy_sample(tmp_path)
    assert not passes(tmp_path)
    hands = Hands(tmp_path)
    messages = await work(sample_prompt(), hands)
    assert passes(tmp_path)
    assert {tool for tool, _, _ in hands.calls} == set(TOOLS)
    assert "rehearsal" in messages[2]["content"]
    assert "no model is involved" in messages[2]["content"]
    assert "pass now" in messages[-1]["content"]
    # The first guess is wrong, which it only learns from the tests.
    assert [tool for tool, _, _ in hands.calls].count("edit") == 2
    tests = tmp_path / "tests"
    copy_sample(tmp_path / "again")
    for file in tests.glob("*.py"):
        # It never changes a test to make it pass.
        assert file.read_text() == (tmp_path / "again/tests" / file.name).read_text()


BUGS = {
    "a wrong operator": (
        "def total(a, b):\n    return a - b\n",
        "    def test_a(self):\n        self.assertEqual(thing.total(2, 3), 5)\n",
    ),
    "a strict comparison": (
        "def full(n, limit):\n    return n > limit\n",
        "    def test_a(self):\n        self.assertTrue(thing.full(3, 3))\n",
    ),
    "an index that is too large": (
        "def last(items):\n    for n in range(len(items) + 1):\n"
        "        found = items[n]\n    return found\n",
        "    def test_a(self):\n        self.assertEqual(thing.last([1, 2]), 2)\n",
    ),
    "a variable between call and assertion": (
        "def largest(a, b):\n    return min(a, b)\n",
        "    def test_a(self):\n        got = thing.largest(1, 2)\n"
        "        self.assertEqual(got, 2)\n",
    ),
    "the same line twice": (
        "def one(n):\n    n = n + 1\n    return n\n\n\n"
        "def two(n):\n    n = n + 1\n    return n\n",
        "    def test_a(self):\n        self.assertEqual(thing.one(1), 2)\n\n"
        "    def test_b(self):\n        self.assertEqual(thing.two(5), 4)\n",
    ),
    "two bugs": (
        "def total(a, b):\n    return a - b\n\n\n"
        "def either(a, b):\n    return a and b\n",
        "    def test_a(self):\n        self.assertEqual(thing.total(2, 3), 5)\n\n"
        "    def test_b(self):\n        self.assertTrue(thing.either(True, False))\n",
    ),
    "a bug in a function that the called one calls": (
        "def inner(n):\n    return n * 2\n\n\ndef outer(n):\n    return inner(n)\n",
        "    def test_a(self):\n        self.assertEqual(thing.outer(8), 4)\n",
    ),
}


@pytest.mark.parametrize("bug", BUGS)
async def test_small_bugs_are_repaired(bug: str, tmp_path: Path) -> None:
    project(tmp_path, *BUGS[bug])
    assert not passes(tmp_path)
    messages = await work(PROMPT, Hands(tmp_path))
    assert passes(tmp_path), messages[-1]["content"]
    assert "pass now" in messages[-1]["content"]


async def test_a_change_that_does_not_help_is_taken_back(tmp_path: Path) -> None:
    source = "def name():\n    count = 1 + 1\n    return 'wrong'\n"
    test = "    def test_a(self):\n        self.assertEqual(thing.name(), 'right')\n"
    project(tmp_path, source, test)
    hands = Hands(tmp_path)
    messages = await work(PROMPT, hands)
    assert (tmp_path / "thing.py").read_text() == source
    assert "I stop here" in messages[-1]["content"]
    assert [tool for tool, _, _ in hands.calls].count("edit") > 1


async def test_passing_tests_are_left_alone(tmp_path: Path) -> None:
    project(tmp_path, "", "    def test_a(self):\n        pass\n")
    hands = Hands(tmp_path)
    messages = await work(PROMPT, hands)
    assert "pass already" in messages[-1]["content"]
    assert "edit" not in {tool for tool, _, _ in hands.calls}


@pytest.mark.parametrize("denied", ["bash", "edit"])
async def test_a_no_is_taken_as_a_no(denied: str, tmp_path: Path) -> None:
    copy_sample(tmp_path)
    hands = Hands(tmp_path, denied)
    messages = await work(sample_prompt(), hands)
    assert [tool for tool, _, _ in hands.calls].count(denied) == 1
    assert "rejected by the person" in messages[-1]["content"]


@pytest.mark.parametrize("tool", ["glob", "grep"])
@pytest.mark.parametrize("how", ["denied", "absent"])
async def test_it_does_without_a_way_to_look(
    tool: str, how: str, tmp_path: Path
) -> None:
    copy_sample(tmp_path)
    hands = Hands(tmp_path, tool if how == "denied" else "")
    offered = schemas(tool) if how == "absent" else schemas()
    await work(sample_prompt(), hands, offered)
    assert passes(tmp_path)


async def test_a_file_changed_by_another_is_read_again(tmp_path: Path) -> None:
    copy_sample(tmp_path)

    class Meddled(Hands):
        meddled = False

        def edit(self, path: str, old_string: str, new_string: str) -> str:
            if not self.meddled:
                self.meddled = True
                file = self.folder / path
                file.write_text(file.read_text().replace("start ", "begin "))
                file.write_text(file.read_text().replace("[start", "[begin"))
            return super().edit(path, old_string, new_string)

    hands = Meddled(tmp_path)
    await work(sample_prompt(), hands)
    reads = [given for tool, given, _ in hands.calls if tool == "read"]
    assert len(reads) == 2
    assert reads[0] == reads[1]
    assert passes(tmp_path)


async def test_output_that_is_no_test_report_is_said_to_be_none(
    tmp_path: Path,
) -> None:
    hands = Hands(tmp_path)
    say = f"{shlex.quote(sys.executable)} -c 'print(\"no tests at all\")'"
    messages = await work(f"Fix the test, run `{say}`", hands)
    assert "no test report" in messages[-1]["content"]


async def test_other_wishes_are_declined(tmp_path: Path) -> None:
    messages = await work("Write a poem", Hands(tmp_path))
    assert len(messages) == 3
    assert "no model is involved" in messages[-1]["content"]


async def test_without_tools_it_says_what_it_lacks(tmp_path: Path) -> None:
    messages = await work(PROMPT, Hands(tmp_path), schemas("bash"))
    assert "needs tools" in messages[-1]["content"]


async def test_a_second_prompt_is_new_work(tmp_path: Path) -> None:
    copy_sample(tmp_path)
    hands = Hands(tmp_path)
    messages = await work(sample_prompt(), hands)
    messages.append({"role": "user", "content": "Are the tests fine now?"})
    ids = [call["id"] for one in messages for call in one.get("tool_calls", ())]
    async with (
        rehearsal_server() as server,
        httpx.AsyncClient(base_url=server.base_url, trust_env=False) as client,
    ):
        answer = await complete(client, messages, schemas())
    again = [call["function"]["name"] for call in answer["tool_calls"]]
    assert again == ["glob", "bash"]
    assert not {call["id"] for call in answer["tool_calls"]} & set(ids)
