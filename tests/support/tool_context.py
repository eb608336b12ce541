"""A ToolContext for tests of tools: records what is asked and decides by a function."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from uuid import uuid4

from dovetail.kernel import (
    Deed,
    Location,
    ManagedPage,
    Message,
    OutputNotFoundError,
    PermissionDeniedError,
    ProcessMark,
    Question,
    QuestionAnswer,
    QuestionDismissedError,
    Skill,
    SkillNotFoundError,
    Todo,
)
from dovetail.kernel.testing.conformance.calling import RecordedChildren, RecordedJobs
from dovetail.kernel.tools.output import page_of
from dovetail.kernel.values.todo import checked_todos

Decide = Callable[[str, Sequence[str]], Awaitable[None] | None]
Writes = Callable[[str, str], Awaitable[bool]]


class FakeToolContext:
    """Allows everything unless ``deny`` names the action or ``decide`` raises.

    ``asked`` lists (action, resources) in the order they came.
    """

    session_id = "ses_test"
    agent = "build"
    message_id = "msg_test"
    call_id = "call_test"

    def __init__(
        self,
        directory: Path | str,
        *,
        deny: Sequence[str] = (),
        decide: Decide | None = None,
        skills: Sequence[Skill] = (),
    ) -> None:
        self.location = Location.at(directory)
        # As every call has its own: what carries it belongs to this one.
        self.effect_token = f"eff_{uuid4().hex}"
        self.deny = tuple(deny)
        self.decide = decide
        self.closed: tuple[str, ...] = ()
        """Patterns of what may not be touched without a question."""
        self.skills = {skill.name: skill for skill in skills}
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        self.saves: list[tuple[str, ...]] = []
        self.folders: list[str | None] = []
        self.metadata: list[Mapping[str, Any]] = []
        self.questions: list[tuple[Question, ...]] = []
        self.answers: list[Sequence[QuestionAnswer]] = []
        """What a person says, in turn; when there is nothing left, they dismiss."""
        self.dismissed: str | None = None
        self.editor: dict[str, str] = {}
        """What a person has of files and has not saved, by path."""
        self.writes: Writes | None = None
        """The editor that writes, if there is one."""
        self.shown = b""
        """What was printed."""
        self.todos: tuple[Todo, ...] = ()
        self.lines: list[str] = []
        self.processes: list[ProcessMark] = []
        self.deeds: list[Deed] = []
        self.jobs = RecordedJobs()
        self.children = RecordedChildren(self.jobs)
        self.files: dict[str, str | None] = {}
        self.changes: list[tuple[str, bytes | None, bytes | None]] = []
        self.past: Sequence[Message] = ()
        """The messages of the session, in order."""
        self.outputs: dict[str, str] = {}
        """The complete outputs of the session, by key."""

    async def ask(
        self,
        action: str,
        resources: Sequence[str],
        *,
        save: Sequence[str] = (),
        folder: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        begun: bool | None = None,
    ) -> None:
        self.asked.append((action, tuple(resources)))
        self.saves.append(tuple(save))
        self.folders.append(folder)
        self.metadata.append(metadata or {})
        if action in self.deny:
            raise PermissionDeniedError(action, resources)
        if self.decide is not None:
            answer = self.decide(action, resources)
            if answer is not None:
                await answer

    async def question(self, questions: Sequence[Question]) -> Sequence[QuestionAnswer]:
        self.questions.append(tuple(questions))
        if not self.answers:
            raise QuestionDismissedError(self.dismissed)
        return self.answers.pop(0)

    async def unsaved(self, path: str) -> str | None:
        return self.editor.get(path)

    async def write_in_editor(self, path: str, text: str) -> bool:
        return self.writes is not None and await self.writes(path, text)

    def printed(self, data: bytes) -> None:
        self.shown += data

    async def replace_todos(self, todos: Sequence[Todo]) -> None:
        self.todos = checked_todos(todos)

    async def allowing(self, action: str) -> Callable[[str], bool]:
        return lambda resource: (
            action not in self.deny
            and not any(fnmatchcase(resource, one) for one in self.closed)
        )

    async def managed(
        self, key: str, offset: int = 1, limit: int = 2_000
    ) -> ManagedPage:
        if key not in self.outputs:
            raise OutputNotFoundError(key)
        return page_of(self.outputs[key], offset, limit)

    async def messages(
        self, *, after: int | None = None, before: int | None = None, limit: int = 50
    ) -> Sequence[Message]:
        found = [
            one
            for one in self.past
            if (after is None or one.seq > after)
            and (before is None or one.seq < before)
        ]
        return (found if after is not None else found[::-1])[:limit]

    def changed(
        self,
        path: str,
        before: bytes | None,
        after: bytes | None,
        *,
        unknown: str | None = None,
        folders: int = 0,
    ) -> None:
        self.changes.append((path, before, after))

    def saw(self, path: str, digest: str | None) -> None:
        self.files[path] = digest

    async def spawns(self, process: ProcessMark) -> None:
        self.processes.append(process)

    async def does(self, text: str, data: Any = None) -> None:
        self.deeds.append(Deed(text, data))

    def progress(self, text: str) -> None:
        self.lines.append(text)

    async def skill(self, name: str) -> Skill:
        if name not in self.skills:
            raise SkillNotFoundError(name, f"offered: {', '.join(self.skills)}")
        return self.skills[name]
