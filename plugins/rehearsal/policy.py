"""The policy: what the model's part says next, decided from the conversation alone.

Owns the way from a failing test to a change that makes it pass: run the tests, read
the failure, search the function, read it, try the likeliest change, run again, take
back what did not help. Keeps nothing between requests: everything is worked out anew
from the calls and results in the request, so that a restart changes nothing. Never
changes a test.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from .chat import Answered, Call, ChatRequest, Reply, UserTurn
from .repairs import Repair, find_functions, names_called, repaired, repairs
from .reports import Failed, Report, read_report

MAX_ATTEMPTS = 16
"""Changes tried before it gives up: the Steps of a session are bounded too."""
DEFAULT_COMMAND = "python -B -m unittest"

_PLAIN = (
    "This is a rehearsal: no model is involved. A small program decides from what the "
    "tools answer."
)

# What tools call their arguments, the usual name first.
_ARGUMENTS = {
    "path": ("path", "file_path", "filePath", "file", "filename"),
    "old": ("old_string", "oldString", "old", "old_text", "search"),
    "new": ("new_string", "newString", "new", "new_text", "replace"),
    "pattern": ("pattern", "query", "regex"),
    "command": ("command", "cmd", "script"),
    "include": ("include", "glob", "file_pattern"),
}
_TOOLS = {
    "run": ("bash", "shell"),
    "list": ("glob", "find"),
    "search": ("grep", "search"),
    "read": ("read", "read_file"),
    "edit": ("edit", "edit_file"),
}

_DENIED = re.compile(r"\s*permission to \w+ .{0,4000}? is denied\b", re.I | re.S)
_WRONG = re.compile(
    r"^\s*(?:<?error|failed|failure|invalid|cannot|could not|there is no|no match|"
    r"the (?:old|text)|old_string|tool\b.*\b(?:failed|broke)|the tool)",
    re.I,
)
# What became of the call is not known: nobody recorded it, or somebody stopped it.
_CUT_OFF = re.compile(
    r"^\s*(?:<?error\W+)?the (?:outcome of the call is unknown|call "
    r"(?:was (?:cut off|interrupted)|has no result|did not start))\b",
    re.I,
)
_PATH_AT_START = re.compile(r"^\s*(?:[-*] )?([^\n:*?\"<>|]+?\.py)(?=:|\s*$)", re.M)
_NUMBERED = re.compile(r"^\s*(\d+)(\t|→| ?\| |: |:|\|)")


def decide(request: ChatRequest) -> Reply:
    """Return what is said next."""
    prompt, answers, earlier = _current(request.turns)
    desk = _Desk(request.tools, earlier)
    command = _command(prompt)
    if command is None:
        return Reply(
            f"{_PLAIN} All it can do is repair small programs whose tests fail: ask "
            f"it to fix a failing test and name the command, such as "
            f"`{DEFAULT_COMMAND}`."
        )
    if not desk.offers("run") or not desk.offers("edit"):
        return Reply(
            f"{_PLAIN} It needs tools to run a command and to edit a file, and this "
            "request offers none, so it stops here."
        )
    notes = _Notes(command)
    for answer in answers:
        for call, result in zip(answer.calls, answer.results, strict=True):
            notes.add(call, result)
    return _next(notes, desk)


def _current(
    turns: Sequence[UserTurn | Answered],
) -> tuple[str, list[Answered], int]:
    """Return the prompt, the answers of the work that goes on, and the calls ever."""
    said: list[str] = []
    answers: list[Answered] = []
    calls = 0
    for turn in turns:
        if isinstance(turn, UserTurn):
            said.append(turn.text)
            continue
        calls += len(turn.calls)
        if turn.calls:
            answers.append(turn)
        else:
            # It had finished: what is asked afterwards is new work.
            said, answers = [], []
    return "\n\n".join(said), answers, calls


def _command(prompt: str) -> str | None:
    """Return the test command that a prompt names, or None when it asks no such."""
    quoted = re.findall(r"`([^`\n]+)`", prompt)
    for text in quoted:
        if re.search(r"\b(?:unittest|pytest|tests?)\b", text) and " " in text.strip():
            return str(text).strip()
    if "pytest" in quoted:
        return "pytest"
    return DEFAULT_COMMAND if re.search(r"\btests?\b", prompt, re.I) else None


# --- the tools at hand ------------------------------------------------------------


class _Desk:
    """Makes calls to the tools that this request offers, in their own words."""

    def __init__(self, tools: Mapping[str, Mapping[str, Any]], earlier: int) -> None:
        self._tools = tools
        self._made = earlier

    def offers(self, role: str) -> bool:
        return self._named(role) is not None

    def call(self, role: str, **arguments: str) -> Call:
        name = self._named(role)
        assert name is not None
        properties = self._tools[name].get("properties") or {}
        named = {}
        for meaning, value in arguments.items():
            words = _ARGUMENTS[meaning]
            known = [word for word in words if word in properties]
            if known or not properties:
                named[(known or words)[0]] = value
        self._made += 1
        return Call(f"call_{self._made}", name, named)

    def _named(self, role: str) -> str | None:
        return next((name for name in _TOOLS[role] if name in self._tools), None)


def _argument(call: Call, meaning: str) -> str:
    for word in _ARGUMENTS[meaning]:
        value = call.arguments.get(word)
        if isinstance(value, str):
            return value
    return ""


# --- what is known ----------------------------------------------------------------


@frozen
class _Change:
    """One edit that was made or tried."""

    path: str
    old: str
    new: str


@define
class _Notes:
    """What the calls and results so far amount to."""

    command: str
    listed: list[str] = field(factory=list)
    searched: dict[str, list[str]] = field(factory=dict)
    files: dict[str, str | None] = field(factory=dict)
    """The text of each file that was read; None for one that could not be."""
    base: Report | None = None
    """The test run that the program is measured against."""
    printed: str = ""
    """What the last test run printed."""
    attempt: _Change | None = None
    """A change that is made and not yet kept or taken back."""
    worse: bool = False
    """The attempt was tried and did not help."""
    tried: list[_Change] = field(factory=list)
    """Each as it would be from the kept state of its file."""
    kept: list[_Change] = field(factory=list)
    denied: str | None = None
    cut_off: bool = False
    """Whether it is not known what became of the last test run."""

    def add(self, call: Call, result: str) -> None:
        """Take in one call and its result."""
        for role, names in _TOOLS.items():
            if call.tool in names:
                if _DENIED.match(result) and role in ("run", "edit"):
                    self.denied = result.strip().split("\n")[0]
                getattr(self, f"_add_{role}")(call, result)

    def _add_list(self, call: Call, result: str) -> None:
        self.listed = _paths(result)

    def _add_search(self, call: Call, result: str) -> None:
        self.searched[_argument(call, "pattern")] = _paths(result)

    def _add_read(self, call: Call, result: str) -> None:
        refused = _DENIED.match(result) or _WRONG.match(result)
        self.files[_argument(call, "path")] = None if refused else _content(result)

    def _add_run(self, call: Call, result: str) -> None:
        self.cut_off = _CUT_OFF.match(result) is not None
        if self.cut_off:
            return
        self.printed = result
        report = read_report(result)
        if self.base is None:
            self.base = report
        elif self.attempt is not None and not self.worse:
            if _better(report, self.base):
                self.kept.append(self.attempt)
                self.attempt = None
                self.base = report
            else:
                self.worse = True

    def _add_edit(self, call: Call, result: str) -> None:
        path = _argument(call, "path")
        change = _Change(path, _argument(call, "old"), _argument(call, "new"))
        open_one = self.attempt
        onward = open_one is not None and open_one.new == change.old
        if onward and open_one is not None:
            # From one attempt straight to the next, or back.
            change = _Change(path, open_one.old, change.new)
        back = change.old == change.new
        if not back:
            self.tried.append(change)
        if _WRONG.match(result) or _DENIED.match(result):
            # Whatever is in the file now, it is not what was thought: look again.
            self.files.pop(path, None)
            self.attempt = None
        else:
            self.attempt = None if back else change
        self.worse = False


def _better(report: Report, base: Report) -> bool:
    if report.verdict == "passed":
        return True
    return report.verdict == "failed" and report.names < base.names


def _paths(result: str) -> list[str]:
    found = [match[1].strip() for match in _PATH_AT_START.finditer(result)]
    return list(dict.fromkeys(found))


def _content(result: str) -> str:
    """Return the text of a file as a tool showed it, without line numbers."""
    lines = result.replace("\r\n", "\n").split("\n")
    mark = next((found[2] for line in lines if (found := _NUMBERED.match(line))), None)
    if mark is None:
        return result
    content: list[str] = []
    expected: int | None = None
    for line in lines:
        number, separator, text = line.partition(mark.rstrip() or mark)
        if not separator or not number.strip().isdigit():
            continue
        if expected is not None and int(number) != expected:
            break
        expected = int(number) + 1
        content.append(text.removeprefix(" ") if mark.endswith(" ") else text)
    return "\n".join(content)


# --- what comes next --------------------------------------------------------------


def _next(notes: _Notes, desk: _Desk) -> Reply:
    # 1. Tests change nothing: what is not known of them is asked for again.
    if notes.cut_off and not notes.denied:
        return Reply(
            "The test run was cut off, so what it would have said is not known. It "
            f"changes nothing, so I run it again: `{notes.command}`.",
            (desk.call("run", command=notes.command),),
        )
    # 2. Nothing is known: look around and run the tests, both at once.
    if notes.base is None and not notes.denied:
        calls = [desk.call("list", pattern="**/*.py")] if desk.offers("list") else []
        calls.append(desk.call("run", command=notes.command))
        return Reply(
            f"{_PLAIN}\n\nFirst the files and the tests: `{notes.command}`.",
            tuple(calls),
        )
    # 3. A person or a rule said no: do not try to get around it.
    if notes.denied or notes.base is None:
        return Reply(_stopped(notes, f"I was told no: {notes.denied}"))
    # 4. A change was made: see what the tests say to it.
    if notes.attempt and not notes.worse:
        run = desk.call("run", command=notes.command)
        return Reply("Changed. Now the tests again.", (run,))
    if notes.base.verdict == "passed":
        return Reply(_finished(notes))
    if notes.base.verdict == "unknown":
        shown = notes.printed.strip().split("\n")[-1][:200] or "nothing"
        why = f"`{notes.command}` printed no test report that I can read: {shown}"
        return Reply(_stopped(notes, why))
    # 5. The tests fail: find the cause, or the next change to try.
    if len(notes.tried) < MAX_ATTEMPTS:
        for failed in notes.base.failed:
            reply = _pursue(failed, notes, desk)
            if reply is not None:
                return reply
    # 6. Nothing is left to try: leave the file as it was.
    if notes.attempt is not None:
        return _take_back(notes.attempt, desk)
    return Reply(_stopped(notes, "I found no small change that makes them pass"))


def _pursue(failed: Failed, notes: _Notes, desk: _Desk) -> Reply | None:
    """Return the next thing to do about one failing test, or None."""
    names = _suspects(failed, notes)
    if not names and failed.frames and desk.offers("read"):
        test = _shown(failed.frames[0].path, notes)
        if test not in notes.files:
            said = f"{failed.line}. I read the test to see what it calls."
            return Reply(said, (desk.call("read", path=test),))
    for name in names:
        pattern = rf"def {name}\b"
        if desk.offers("search") and pattern not in notes.searched:
            said = f"{failed.line}.\n\nIt runs `{name}`: where is that defined?"
            call = desk.call("search", pattern=pattern, include="*.py")
            return Reply(said, (call,))
        for path in _homes(pattern, notes):
            if path not in notes.files:
                if not desk.offers("read"):
                    return None
                said = f"I read {path}, which may define `{name}`."
                return Reply(said, (desk.call("read", path=path),))
            text = notes.files[path]
            if text is not None and name in find_functions(_kept(text, path, notes)):
                reply = _try(failed, name, path, _kept(text, path, notes), notes, desk)
                if reply is not None:
                    return reply
    return None


def _suspects(failed: Failed, notes: _Notes) -> list[str]:
    """Return the functions that may be at fault, the likeliest first."""
    inner = [frame.function for frame in reversed(failed.frames[1:])]
    inner = [name for name in inner if name.isidentifier()]
    called = [
        name for frame in failed.frames[:1] for name in names_called(frame.source)
    ]
    if not inner and not called and failed.frames:
        text = notes.files.get(_shown(failed.frames[0].path, notes))
        test = find_functions(text or "").get(failed.frames[0].function)
        if text and test is not None:
            body = text.split("\n")[test.lineno : test.end_lineno]
            called = names_called("\n".join(body))
    return list(dict.fromkeys([*inner, *called]))


def _shown(path: str, notes: _Notes) -> str:
    """Return a path of a traceback as the listing shows it."""
    fits = [one for one in notes.listed if path == one or path.endswith(f"/{one}")]
    return max(fits, key=len, default=path)


def _homes(pattern: str, notes: _Notes) -> list[str]:
    """Return the files to look into: never a test."""
    found = notes.searched.get(pattern) or notes.listed
    return [path for path in found if not _is_test(path)][:10]


def _is_test(path: str) -> bool:
    *folders, name = re.split(r"[/\\]", path)
    return (
        name.startswith("test_")
        or name.endswith("_test.py")
        or name == "conftest.py"
        or bool(folders and folders[-1] in ("tests", "test"))
    )


def _kept(text: str, path: str, notes: _Notes) -> str:
    """Return a file's text with the kept changes made, as it is without an attempt."""
    for change in notes.kept:
        if change.path == path and change.old in text:
            text = text.replace(change.old, change.new, 1)
    return text


def _try(
    failed: Failed, name: str, path: str, text: str, notes: _Notes, desk: _Desk
) -> Reply | None:
    for one, change in _untried(failed, name, path, text, notes):
        old, said = change.old, _reason(failed, one, notes)
        if notes.attempt is not None:
            if (notes.attempt.path, notes.attempt.old) != (path, change.old):
                return _take_back(notes.attempt, desk)
            old = notes.attempt.new
        call = desk.call("edit", path=path, old=old, new=change.new)
        return Reply(said, (call,))
    return None


def _untried(
    failed: Failed, name: str, path: str, text: str, notes: _Notes
) -> Iterator[tuple[Repair, _Change]]:
    for one in repairs(text, name, failed):
        change = _as_change(text, path, one)
        if change not in notes.tried and repaired(text, one) is not None:
            yield one, change


def _as_change(text: str, path: str, one: Repair) -> _Change:
    """Return the smallest piece of text around the line that occurs only once."""
    old, new = one.before.strip(), one.after.strip()
    lines = text.split("\n")
    if text.count(old) > 1:
        old, new = one.before, one.after
    first = one.line - 1
    while text.count(old) > 1 and first > 0:
        first -= 1
        old, new = f"{lines[first]}\n{old}", f"{lines[first]}\n{new}"
    return _Change(path, old, new)


def _take_back(change: _Change, desk: _Desk) -> Reply:
    back = desk.call("edit", path=change.path, old=change.new, new=change.old)
    return Reply("That did not help; I take it back.", (back,))


# --- what is said -----------------------------------------------------------------


def _reason(failed: Failed, one: Repair, notes: _Notes) -> str:
    begin = f"{failed.line}."
    if notes.tried:
        begin = "Still failing." if notes.worse else "Then something else."
    return f"{begin} Perhaps `{one.before.strip()}` should be `{one.after.strip()}`."


def _finished(notes: _Notes) -> str:
    if not notes.kept:
        return f"The tests pass already (`{notes.command}`); there is nothing to fix."
    return (
        f"The tests pass now (`{notes.command}`). {_changes(notes)}\n\n"
        "That was a rehearsal: a program worked this out, not a model."
    )


def _stopped(notes: _Notes, why: str) -> str:
    tries = f" I tried {len(notes.tried)} changes." if notes.tried else ""
    left = f" {_changes(notes)}" if notes.kept else " The program is as it was."
    if notes.attempt is not None:
        left = (
            f" One change is still in {notes.attempt.path}: `{notes.attempt.old}` "
            f"became `{notes.attempt.new}`."
        )
    return f"I stop here: {why.rstrip('.')}.{tries}{left} (A rehearsal, no model.)"


def _changes(notes: _Notes) -> str:
    return " ".join(
        f"In {change.path}, `{change.old.strip()}` became `{change.new.strip()}`."
        for change in notes.kept
    )
