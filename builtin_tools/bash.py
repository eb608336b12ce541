"""The tool ``bash``: run a shell command and wait for its end.

The command runs in a process group of its own with closed input. It gets the
environment that the runtime was opened with, without the keys of model providers:
those pay for this very model, no command needs them, and whatever a command prints is
sent to a provider and stored. Other secrets (of git hosts, clouds, package registries)
stay, because the work needs them; whoever minds starts the runtime without them.
Pagers, editors and prompts are set so that nothing waits for a person who is not there.

Its process group is recorded before the command begins, so that what still runs after
the runtime was killed is found and ended before the call is settled (law recovery.8).
What a command leaves running on purpose goes on, and what that prints can be read.
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
from dovetail.kernel import Action, Job, Json, Tool, ToolContext, ToolFailure

from . import _fields as fields
from ._jobs import DEFAULT_SECONDS, Background
from ._marks import (
    RUNNING,
    UNENDED,
    VARIABLE,
    LaterOutput,
    end_left,
    group_runs,
    mark_of,
)
from ._paths import EXTERNAL, Target, approve, resolve, start_in
from ._process import Capture, run
from ._terminal import plain
from ._text import cut, plural

DESCRIPTION = """\
Run a shell command in the working directory and return its output and exit code. \
Nothing carries over from one call to the next but files; use workdir instead of cd. \
There is no input to type into and no terminal. Both output streams come as one, in \
the order they were written. For what takes long, or is to go on, such as a server, \
set background: it becomes a job, what it prints can be read while it runs, and you \
are told when it ends. To read, search and change files, the other tools are better."""

KEEP = 8_000_000
"""Bytes kept of the output, its beginning and its end: what is kept of any result,
less room for what is said of the rest."""
SECONDS, MAX_SECONDS = 120, 600
"""How long a command runs in the foreground, unless it says so, and at most."""
_PROGRESS = 200

SECRET = re.compile(r"key|token|secret|passw|credential", re.I)
"""What the name of a setting or a variable that holds a key sounds like."""
_LOCALE = ("LC_ALL", "LC_CTYPE", "LANG")
UNATTENDED = {
    "TERM": "dumb",
    **dict.fromkeys(("PAGER", "GIT_PAGER", "MANPAGER", "SYSTEMD_PAGER"), "cat"),
    # An editor that leaves everything as it is: what needs a text has to be given it.
    **dict.fromkeys(("EDITOR", "VISUAL", "GIT_EDITOR", "GIT_SEQUENCE_EDITOR"), "true"),
    **dict.fromkeys(("GH_PAGER", "BAT_PAGER", "DELTA_PAGER", "AWS_PAGER"), "cat"),
    "GIT_TERMINAL_PROMPT": "0",
    # Programs that ask for a password in a window. ssh has no terminal to ask in; what
    # keys and agents it uses stays as it is configured, also by git's core.sshCommand,
    # which GIT_SSH_COMMAND would hide.
    **dict.fromkeys(("GIT_ASKPASS", "SSH_ASKPASS"), "false"),
    "SSH_ASKPASS_REQUIRE": "never",
    "GCM_INTERACTIVE": "never",
    # Else gpg asks in the terminal of the person who started the runtime.
    "GPG_TTY": "",
    "GH_PROMPT_DISABLED": "1",
    "DEBIAN_FRONTEND": "noninteractive",
    "PIP_NO_INPUT": "1",
    "NPM_CONFIG_YES": "true",
    "COREPACK_ENABLE_DOWNLOAD_PROMPT": "0",
    "COMPOSER_NO_INTERACTION": "1",
    "TF_INPUT": "0",
    # So that what was printed before a timeout is there, and in order.
    "PYTHONUNBUFFERED": "1",
}
"""What tells programs that nobody is there to answer or to look."""

PROVIDER_KEYS = frozenset(
    {
        "AI21_API_KEY",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "AZURE_API_KEY",
        "AZURE_OPENAI_API_KEY",
        "BRAVE_API_KEY",
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
    timeout_ms: int | None = fields.number(
        "Milliseconds until it is stopped: 120000 unless given, and at most 600000; in "
        "the background 28800000, and at most 86400000.",
        minimum=1,
        maximum=86_400_000,
        default=None,
        formerly=("timeout",),
    )
    description: str = fields.text(
        "What it does, in a few words, for the person who is asked.", default=""
    )
    background: bool = fields.flag(
        "Let it run on as a job, and go on at once. Jobs end with the program that "
        "runs this session."
    )

    def __attrs_post_init__(self) -> None:
        if not self.background and (self.timeout_ms or 0) > MAX_SECONDS * 1000:
            raise ValueError(
                f"'timeout_ms' must be <= {MAX_SECONDS * 1000} unless in the background"
            )


@frozen
class BashOutput:
    """What is recorded of a command beside what the model is shown."""

    exit_code: int | None
    """``-n`` when signal ``n`` ended the shell; None when the time was over, or it
    goes on."""
    timed_out: bool
    dropped: int
    """Bytes of the output that were not kept, between the beginning and the end."""
    still_running: bool
    """Something that the command started went on when its shell had ended."""
    group: int = 0
    """The number of the process group that the command ran in."""
    job: str | None = None
    """The id of the job that goes on; then nothing of the above is known yet."""
    later: str | None = None
    """The name under which ``read`` shows what comes from there on, if that still held
    the output open."""


@frozen
class BashResult(BashOutput):
    """The whole result. What is shown is recorded as content, so not once more here."""

    output: str = ""
    folded: int = 0
    """States of lines that were written over, as progress is, and are not shown."""
    unended: tuple[int, ...] = ()
    """Of a command that was stopped: the processes of it that still run."""


def bash_tool(
    environment: Mapping[str, str],
    providers: Mapping[str, Mapping[str, Json]],
    later: LaterOutput,
    background: Background,
) -> Tool[BashInput, BashOutput]:
    """Return the tool ``bash`` for commands with this environment."""
    made = command_environment(environment, providers)
    return Tool(
        name="bash",
        description=DESCRIPTION,
        input=BashInput,
        output=BashOutput,
        effect="unsafe",
        asks=(Action("bash", "text", "run a command"), EXTERNAL),
        execute=partial(_execute, made, later, background),
        clear=_clear,
        jobs=background.work,
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
        if isinstance(value, str) and SECRET.search(name)
    }
    kept = {
        name: value
        for name, value in environment.items()
        if name not in PROVIDER_KEYS
        and name not in texts
        and value not in texts
        # Settings of plugins: they are the runtime's.
        and not (name.startswith("DOVETAIL_") and SECRET.search(name))
    }
    spoken = next((kept[name] for name in _LOCALE if kept.get(name)), "")
    if not re.search(r"utf-?8", spoken, re.I):
        kept |= {"LC_ALL": "C.UTF-8"}
    return kept | UNATTENDED


async def _execute(
    environment: Mapping[str, str],
    later: LaterOutput,
    background: Background,
    input: BashInput,
    context: ToolContext,
) -> BashResult:
    _check(input)
    target = await resolve(context.location, input.workdir, "run in")
    metadata: dict[str, object] = {}
    if input.description:
        metadata["description"] = input.description
    if input.background:
        metadata["background"] = True
    await approve(
        target, context, "bash", (input.command,), metadata, folder=target.resource
    )
    shell = await anyio.to_thread.run_sync(_shell, environment)
    token = context.effect_token
    if input.background:
        return await _in_background(
            {**environment, "PWD": target.canonical},
            background,
            shell,
            target,
            input,
            context,
        )
    capture = Capture(KEEP)
    unended: tuple[int, ...] = ()
    name: str | None = None

    async def announce(process_id: int) -> None:
        await context.spawns(await anyio.to_thread.run_sync(mark_of, process_id))

    async def begin(output: str) -> Job:
        return await context.jobs.begin(
            input.command, output=output, process=context.processes[-1]
        )

    def open_later() -> int:
        nonlocal name
        try:
            name, descriptor = later.create(context.session_id, token)
        except OSError:
            # Better unread than ended by a broken pipe.
            return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        return descriptor

    job: Job | None = None
    with context.jobs.detachable() as leave:
        async with start_in(target, "run in") as cwd:
            try:
                ended = await run(
                    (shell, "-c", input.command),
                    cwd=cwd,
                    environment={
                        **environment,
                        "PWD": target.canonical,
                        VARIABLE: token,
                    },
                    seconds=(input.timeout_ms or SECONDS * 1000) / 1000,
                    stdout=_Watched(capture, context).feed,
                    stderr=None,
                    announce=announce,
                    later=open_later,
                    leave=leave,
                )
                if ended.detached is not None:
                    job = await background.detach(
                        ended.detached,
                        capture.kept(),
                        session_id=context.session_id,
                        token=token,
                        begin=begin,
                    )
            except OSError as error:
                why = (error.strerror or type(error).__name__).lower()
                raise ToolFailure(f"cannot run the command: {why}") from error
            except anyio.get_cancelled_exc_class():
                if job is None:
                    with anyio.CancelScope(shield=True):
                        await anyio.to_thread.run_sync(end_left, (), token)
                raise
    if job is not None:
        return _goes_on(job, plain(capture.text())[0])
    if ended.timed_out:
        # Also what had left the group: the command is said to be stopped.
        found = await anyio.to_thread.run_sync(end_left, (), token)
        unended = tuple(sorted({*ended.running, *found.running}))
        running = bool(unended)
    else:
        running = await anyio.to_thread.run_sync(group_runs, ended.group, token)
    output, folded = plain(capture.text())
    return BashResult(
        exit_code=None if ended.timed_out else ended.code,
        timed_out=ended.timed_out,
        dropped=capture.dropped,
        still_running=ended.lingering or running,
        group=ended.group,
        later=name,
        output=output,
        folded=folded,
        unended=unended,
    )


async def _in_background(
    environment: Mapping[str, str],
    background: Background,
    shell: str,
    target: Target,
    input: BashInput,
    context: ToolContext,
) -> BashResult:
    async def begin(output: str, process_id: int) -> Job:
        mark = await anyio.to_thread.run_sync(mark_of, process_id)
        return await context.jobs.begin(input.command, output=output, process=mark)

    milliseconds = input.timeout_ms or DEFAULT_SECONDS * 1000
    async with start_in(target, "run in") as cwd:
        try:
            job = await background.start(
                (shell, "-c", input.command),
                cwd=cwd,
                environment=environment,
                seconds=milliseconds / 1000,
                session_id=context.session_id,
                token=context.effect_token,
                begin=begin,
            )
        except OSError as error:
            why = (error.strerror or type(error).__name__).lower()
            raise ToolFailure(f"cannot run the command: {why}") from error
    return _goes_on(job)


def _goes_on(job: Job, printed: str = "") -> BashResult:
    return BashResult(
        exit_code=None,
        timed_out=False,
        dropped=0,
        still_running=True,
        group=job.process.group if job.process else 0,
        job=job.id,
        later=job.output.removeprefix(RUNNING),
        output=printed,
    )


async def _clear(input: BashInput, context: ToolContext) -> str | None:
    """End what the command left running when the runtime was killed."""
    marks = tuple(context.processes)
    if not marks:
        return None
    found = await anyio.to_thread.run_sync(end_left, marks, context.effect_token)
    said: list[str] = []
    if found.ended:
        said.append(f"Of what it started, {found.ended} still ran and got ended.")
    if found.running:
        numbers = ", ".join(map(str, found.running))
        said.append(f"What it started may still run and was not ended: {numbers}.")
    if found.elsewhere:
        said.append(
            "It was started on another machine, in another container or before a "
            "restart; whether it still runs there is not known."
        )
    return " ".join(said) or "Nothing that it started runs any more."


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
        self._context.printed(chunk)
        lines = plain(self._decoder.decode(chunk))[0].splitlines()
        line = next((one.strip() for one in reversed(lines) if one.strip()), "")
        if line:
            self._context.progress(cut(line, _PROGRESS))


def _render(output: BashOutput) -> str:
    assert isinstance(output, BashResult)
    if output.job is not None:
        so_far = output.output.strip("\n")
        return (f"{so_far}\n\n" if so_far else "") + (
            f"It runs as {output.job}. You are told when it ends. What it prints: read "
            f'path="{RUNNING}{output.later}"; to wait for it, stop it or let it run '
            "longer: the tool job."
        )
    shown = output.output.strip("\n")
    return f"{shown or '(no output)'}\n\n({'; '.join(_notes(output))})"


def _notes(output: BashResult) -> list[str]:
    if output.timed_out:
        notes = [
            "the time was over and the command was stopped; give a larger timeout_ms "
            "if it needs more"
        ]
    elif output.exit_code is not None and output.exit_code < 0:
        notes = [f"ended by {_signal_name(-output.exit_code)}"]
    else:
        notes = [f"exit code {output.exit_code}"]
    if output.dropped:
        notes.append(f"{plural(output.dropped, 'byte')} in the middle were not kept")
    if output.folded:
        count = plural(output.folded, "line")
        notes.append(f"{count} of progress that others wrote over are not shown")
    if output.unended:
        notes.append(f"{UNENDED}: {', '.join(map(str, output.unended))}")
    elif output.still_running:
        notes.append(
            f"something it started still runs; to end it: kill -- -{output.group}"
        )
        if output.later is not None:
            notes.append(
                f'what it prints from now on: read path="{RUNNING}{output.later}"'
            )
    return notes


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
