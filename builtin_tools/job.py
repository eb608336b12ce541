"""The tool ``job``: what runs in the background of this session.

Tells what there is, waits for one, stops it, or lets it run longer. Beginning one is
``bash``'s; the whole of what it prints is read with ``read``.
"""

import codecs
import os
from collections.abc import Sequence
from functools import partial
from typing import Literal

import anyio.to_thread
from attrs import frozen
from dovetail.kernel import Job, Tool, ToolContext, ToolFailure

from . import _fields as fields
from ._marks import RUNNING, LaterOutput
from ._terminal import plain
from ._text import cut

DESCRIPTION = """\
Look after the jobs of this session: commands that bash runs in the background, and \
agents that work there. list \
tells what there is, wait returns when a job has ended or the time is over, stop ends \
it, extend lets it run longer. These show how it stands and what it printed last."""

TAIL = 4_000
"""Bytes of the end of what a job printed that are shown with it."""
_TITLE = 200
_SHOWN = 50
_WAITS = 1_000
"""Milliseconds from which on a call waits, and does not only look."""


@frozen
class JobInput:
    action: Literal["list", "wait", "stop", "extend"] = fields.choice(
        "What to do.", default="list"
    )
    job: str = fields.text("The id of the job; not for list.", default="")
    timeout_ms: int = fields.number(
        "Milliseconds: for wait, how long at most; for extend, how much longer it may "
        "run from now on.",
        minimum=0,
        maximum=86_400_000,
        default=60_000,
    )


@frozen
class JobOutput:
    """How jobs stand, and of one the end of what it printed."""

    jobs: tuple[Job, ...]
    """Of very many, the last ones."""
    earlier: int = 0
    """How many there are before these."""
    output: str = ""


def job_tool(later: LaterOutput) -> Tool[JobInput, JobOutput]:
    """Return the tool ``job``."""
    return Tool(
        name="job",
        description=DESCRIPTION,
        input=JobInput,
        output=JobOutput,
        # Waiting or stopping once more, or extending a little more, harms nothing.
        effect="idempotent",
        asks=(),
        execute=partial(_execute, later),
        render=_render,
        bound="end",
        waits=lambda input: input.action == "wait" and input.timeout_ms >= _WAITS,
    )


async def _execute(
    later: LaterOutput, input: JobInput, context: ToolContext
) -> JobOutput:
    if input.action == "list":
        jobs = tuple(await context.jobs.all())
        return JobOutput(jobs[-_SHOWN:], max(0, len(jobs) - _SHOWN))
    if not input.job:
        raise ToolFailure(f"cannot {input.action}: name the job; list tells them")
    seconds = input.timeout_ms / 1000
    if input.action == "stop":
        job = await context.jobs.stop(input.job)
    elif input.action == "extend":
        job = await context.jobs.extend(input.job, seconds)
    else:
        job = await context.jobs.wait(input.job, seconds)
    if job.session is not None:
        answer = await context.children.answer(job.session)
        return JobOutput((job,), output=answer.text)
    printed = await anyio.to_thread.run_sync(_tail, later, job)
    return JobOutput((job,), output=printed)


def _tail(later: LaterOutput, job: Job) -> str:
    """Return the end of what a job printed, as text."""
    descriptor = later.open(job.session_id, job.output.removeprefix(RUNNING))
    if descriptor is None:
        return ""
    try:
        size = os.fstat(descriptor).st_size
        data = os.pread(descriptor, TAIL, max(0, size - TAIL))
    finally:
        os.close(descriptor)
    if size > TAIL:
        # From the next line on.
        data = data.partition(b"\n")[2] or data
    return plain(codecs.decode(data, "utf-8", "replace"))[0].strip("\n")


def _render(output: JobOutput) -> str:
    if not output.jobs:
        return "There are no jobs."
    lines = []
    if output.earlier:
        lines.append(f"({output.earlier} earlier ones are not shown)")
    lines += [_line(one) for one in output.jobs]
    if output.output:
        lines += ["", output.output]
    return "\n".join(lines)


def _line(job: Job) -> str:
    state = job.state.replace("_", " ")
    if job.exit_code is not None:
        state += f", exit code {job.exit_code}"
    notes: Sequence[str] = [one for one in (job.said, job.output) if one]
    title = cut(" ".join(job.title.split()), _TITLE)
    return f"{job.id} ({state}): {title}" + "".join(f"\n  {one}" for one in notes)
