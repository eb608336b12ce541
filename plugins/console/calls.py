"""Tool calls in a few words: what is called, and how it ended."""

import json
import re

from dovetail.kernel import Failure, Job, Json, Todo

from .terminal import first_line, short

MAX_SUBJECT = 72
MAX_PURPOSE = 60
MAX_REASON = 160

# What a call is about, the most telling first.
_TELLING = (
    "command",
    "path",
    "file_path",
    "pattern",
    "query",
    "url",
    "name",
)
_MARKS = {
    "pending": "[ ]",
    "in_progress": "[>]",
    "completed": "[x]",
    "cancelled": "[-]",
}
_PATCH = re.compile(r"\s*\*\*\* Begin Patch\s*\n")
_PATCHED = re.compile(r"^[ \t]*\*\*\* (?:Add|Update|Delete) File:(.*)$", re.MULTILINE)
"""What a patch names; see ``apply_patch``."""


def call_title(tool: str, arguments: str) -> str:
    """Return a call on one line: the tool, what it is about, and beside a command what
    the model says that it does."""
    return f"{short(tool, 40)} {_subject(arguments)}".rstrip()


def _subject(arguments: str) -> str:
    try:
        data = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        # The model wrote something else; that is what was called.
        return short(arguments, MAX_SUBJECT)
    if not isinstance(data, dict):
        return short(arguments, MAX_SUBJECT)
    texts = {name: text for name, text in data.items() if isinstance(text, str)}
    for name in (*_TELLING, *texts):
        if texts.get(name, "").strip():
            named = _PATCHED.findall(texts[name]) if _PATCH.match(texts[name]) else ()
            told = ", ".join(one.strip() for one in named) or texts[name]
            subject = short(told, MAX_SUBJECT)
            said = texts.get("description", "").strip() if name == "command" else ""
            return f"{subject} ({short(said, MAX_PURPOSE)})" if said else subject
    return ""


def failure_text(failure: Failure) -> str:
    """Return why a call failed, in one line that more may follow."""
    told = first_line(failure.message).removesuffix(".")
    return short(told or failure.code, MAX_REASON)


def success_text(data: Json) -> str:
    """Return how a call that has a result ended: a command may have failed itself, and
    one that goes on as a job has not ended."""
    told = data if isinstance(data, dict) else {}
    if told.get("job") is not None:
        return "ok, as a job"
    if told.get("timed_out") is True:
        return "timed out"
    code = told.get("exit_code", 0)
    return "ok" if code == 0 else f"exit code {short(str(code), 20)}"


def job_text(job: Job) -> str:
    """Return a job on one line: how it stands, and what it does."""
    state = job.state.replace("_", " ")
    if job.exit_code is not None:
        state += f", exit code {job.exit_code}"
    if job.by is not None:
        state += f", by {short(job.by, 20)}"
    return f"{short(job.id, 60)} ({state}): {short(job.title, MAX_SUBJECT)}"


def todo_line(todo: Todo) -> str:
    """Return one of the things that are to be done, with how far it is."""
    return f"{_MARKS[todo.status]} {short(todo.content, MAX_REASON)}"


def duration_text(milliseconds: int) -> str:
    """Return a duration for people."""
    if milliseconds < 1000:
        return f"{max(milliseconds, 0)} ms"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
