"""The tool ``bash``: run a shell command and wait for its end.

The command runs in a process group of its own with closed input. It gets the
environment that the runtime was opened with, without the keys of model providers:
those pay for this very model, no command needs them, and whatever a command prints is
sent to a provider and stored. Other secrets (of git hosts, clouds, package registries)
stay, because the work needs them; whoever minds starts the runtime without them.
"""

import codecs
import os
import re
import shutil
import signal
from collections.abc import Mapping
from functools import partial

import anyio.to_thread
from attrs import frozen
from dovetail.kernel import Action, Json, Tool, ToolContext, ToolFailure

from . import _fields as fields
from ._paths import EXTERNAL, approve, resolve, start_in
from ._process import Capture, run
from ._text import cut, plural

DESCRIPTION = """\
Run a shell command in the working directory and return its output and exit code. \
Nothing carries over from one call to the next but files; use workdir instead of cd. \
There is no input to type into and no terminal. To leave a program running, start it \
with its output redirected: "nohup server > server.log 2>&1 &". To read, search and \
change files, the other tools are better."""

KEEP = 1_048_576
"""Bytes kept of each stream: its beginning and its end."""
_PROGRESS = 200

PROVIDER_KEYS = frozenset(
    {
        "AI21_API_KEY",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "AZURE_API_KEY",
        "AZURE_OPENAI_API_KEY",
        "CEREBRAS_API_KEY",
        "COHERE_API_KEY",
        "CO_API_KEY",
        "DEEPINFRA_API_KEY",
        "DEEPSEEK_API_KEY",
        "FIREWORKS_API_KEY",
        "GEMINI_API_KEY",
        "GOOGLE_API_KEY",
        "GOOGLE_GENERATIVE_AI_API_KEY",
        "GROQ_API_KEY",
        "MISTRAL_API_KEY",
        "MOONSHOT_API_KEY",
        "NVIDIA_API_KEY",
        "OPENAI_API_KEY",
        "OPENROUTER_API_KEY",
        "PERPLEXITY_API_KEY",
        "TOGETHER_API_KEY",
        "XAI_API_KEY",
        "ZAI_API_KEY",
    }
)


@frozen
class BashInput:
    command: str = fields.text("The command, in the language of bash.", min_length=1)
    workdir: str = fields.text(
        "The folder to run it in; the working directory if left out.", default="."
    )
    timeout_ms: int = fields.number(
        "Milliseconds until it is stopped.",
        minimum=1,
        maximum=600_000,
        default=120_000,
    )
    description: str = fields.text(
        "What it does, in a few words, for the person who is asked.", default=""
    )


@frozen
class BashOutput:
    """What is recorded of a command beside what the model is shown."""

    exit_code: int | None
    """``-n`` when signal ``n`` ended the shell; None when the time was over."""
    timed_out: bool
    stdout_dropped: int
    """Bytes that were not kept, between the beginning and the end."""
    stderr_dropped: int
    still_running: bool
    """Something that the command started still held its output open."""


@frozen
class BashResult(BashOutput):
    """The whole result. What is shown is recorded as content, so not once more here."""

    stdout: str
    stderr: str


def bash_tool(
    environment: Mapping[str, str], providers: Mapping[str, Mapping[str, Json]]
) -> Tool[BashInput, BashOutput]:
    """Return the tool ``bash`` for commands with this environment."""
    return Tool(
        name="bash",
        description=DESCRIPTION,
        input=BashInput,
        output=BashOutput,
        effect="unsafe",
        asks=(Action("bash", "text", "run a command"), EXTERNAL),
        execute=partial(_execute, command_environment(environment, providers)),
        render=_render,
    )


def command_environment(
    environment: Mapping[str, str], providers: Mapping[str, Mapping[str, Json]]
) -> dict[str, str]:
    """Return the environment without the keys of providers.

    Those are the well-known variables, any variable that a provider's configuration
    names, and any that holds a configured key.
    """
    texts = {
        value
        for table in providers.values()
        for name, value in table.items()
        if isinstance(value, str) and re.search(r"key|token|secret", name, re.I)
    }
    return {
        name: value
        for name, value in environment.items()
        if name not in PROVIDER_KEYS and name not in texts and value not in texts
    }


async def _execute(
    environment: Mapping[str, str], input: BashInput, context: ToolContext
) -> BashResult:
    _check(input)
    target = await resolve(context.location, input.workdir, "run in")
    metadata: dict[str, object] = {"workdir": target.resource}
    if input.description:
        metadata["description"] = input.description
    await approve(target, context, "bash", (input.command,), metadata)
    shell = await anyio.to_thread.run_sync(_shell, environment)
    stdout, stderr = Capture(KEEP), Capture(KEEP)
    shown = _Watched(stdout, context), _Watched(stderr, context)
    async with start_in(target, "run in") as cwd:
        try:
            ended = await run(
                (shell, "-c", input.command),
                cwd=cwd,
                environment={**environment, "PWD": target.canonical},
                seconds=input.timeout_ms / 1000,
                stdout=shown[0].feed,
                stderr=shown[1].feed,
            )
        except OSError as error:
            why = (error.strerror or type(error).__name__).lower()
            raise ToolFailure(f"cannot run the command: {why}") from error
    return BashResult(
        exit_code=None if ended.timed_out else ended.code,
        stdout=stdout.text(),
        stderr=stderr.text(),
        timed_out=ended.timed_out,
        stdout_dropped=stdout.dropped,
        stderr_dropped=stderr.dropped,
        still_running=ended.lingering,
    )


def _check(input: BashInput) -> None:
    if not input.command.strip():
        raise ToolFailure("cannot run the command: it is empty")
    if "\0" in input.command:
        raise ToolFailure("cannot run the command: it contains NUL")
    try:
        input.command.encode()
    except UnicodeEncodeError as error:
        raise ToolFailure("cannot run the command: it is not valid Unicode") from error


def _shell(environment: Mapping[str, str]) -> str:
    found = shutil.which("bash", path=environment.get("PATH", os.defpath))
    return found or "/bin/sh"


class _Watched:
    """Keeps a stream and shows its newest line to whoever watches, once a chunk."""

    def __init__(self, capture: Capture, context: ToolContext) -> None:
        self._capture = capture
        self._context = context
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, chunk: bytes) -> None:
        self._capture.feed(chunk)
        lines = self._decoder.decode(chunk).splitlines()
        line = next((one.strip() for one in reversed(lines) if one.strip()), "")
        if line:
            self._context.progress(cut(line, _PROGRESS))


def _render(output: BashOutput) -> str:
    assert isinstance(output, BashResult)
    parts: list[str] = []
    if output.stdout.strip("\n"):
        parts.append(output.stdout.strip("\n"))
    if output.stderr.strip("\n"):
        parts.append("stderr:\n" + output.stderr.strip("\n"))
    if not parts:
        parts.append("(no output)")
    parts.append(f"({'; '.join(_notes(output))})")
    return "\n\n".join(parts)


def _notes(output: BashOutput) -> list[str]:
    if output.timed_out:
        notes = [
            "the time was over and the command was stopped; give a larger timeout_ms "
            "if it needs more"
        ]
    elif output.exit_code is not None and output.exit_code < 0:
        notes = [f"ended by {_signal_name(-output.exit_code)}"]
    else:
        notes = [f"exit code {output.exit_code}"]
    for name, dropped in (
        ("stdout", output.stdout_dropped),
        ("stderr", output.stderr_dropped),
    ):
        if dropped:
            notes.append(f"{plural(dropped, 'byte')} of {name} were not kept")
    if output.still_running:
        notes.append(
            "something it started still runs; more of its output is not shown, "
            "redirect it to a file next time"
        )
    return notes


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
