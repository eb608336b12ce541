"""The command ``demo``: a real session on the sample project, in a folder of its own.

Owns the folder, the rehearsal server beside it, the kill in the middle, and the check
at the end. The session itself is run by the command ``run``: first in a process of its
own, which is killed, then found by its name in the command line that we are part of.
Both get the arguments that a person would type: no plugin imports another.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from urllib.parse import quote

import anyio
import click
from anyio.from_thread import start_blocking_portal
from dovetail.kernel import open_runtime

from .crash import Crashed, crash
from .sample import copy_sample, sample_command, sample_prompt
from .server import rehearsal_server

PACE = 0.01
"""Seconds between two pieces of the stream: quick, and still seen to be a stream."""
TEST_SECONDS = 60
INTERRUPTED = 130
LOOPBACK = "127.0.0.1,localhost"


@click.command("demo")
@click.option(
    "--model", metavar="M", help="Do it with this model instead of the rehearsal."
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Work in this folder, new or empty. [default: a temporary one; also kept]",
)
@click.option("--no-crash", is_flag=True, help="Do it without killing anything.")
@click.pass_context
def demo_command(
    context: click.Context, model: str | None, keep: Path | None, no_crash: bool
) -> int:
    """Let a session fix a failing test in a sample project, with the real tools.

    The process that runs it is killed in the middle of a tool call, and the next one
    goes on.

    Without --model it needs no key and no network: the model's part is played by a
    rehearsal, a small program on this machine.

    Exits with 0 when the tests pass at the end.
    """
    folder = _folder(keep)
    project = folder / "project"
    try:
        copy_sample(project)
    except (OSError, FileExistsError) as error:
        raise click.ClickException(f"the sample project: {error}") from error
    url = f"sqlite:///{quote((folder / 'sessions.db').as_posix())}"
    _introduce(project, model)
    beginning = ["--location", str(project), "--", sample_prompt()]
    options = [*_allowing(), *(["--model", model] if model is not None else [])]
    with _rehearsal(project) if model is None else nullcontext():
        code = (
            _run(context, url, [*options, *beginning])
            if no_crash
            else _crash_and_go_on(context, project, url, options)
        )
    return _conclude(project, url, code)


def _crash_and_go_on(
    context: click.Context, project: Path, url: str, options: Sequence[str]
) -> int:
    try:
        met = anyio.run(crash, url, project, options, sample_prompt())
    except KeyboardInterrupt:
        return INTERRUPTED
    if not isinstance(met, Crashed):
        click.echo("\nThe run ended before it could be killed in a tool call.")
        return met.code
    where = "while the command ran" if met.in_a_call else "between two tool calls"
    click.echo(f"\n\n--- The process that ran the session was killed, {where}. ---\n")
    click.echo("Another one looks at what is recorded, and says what is not known of")
    click.echo("it. A person would be asked whether to go on; here that is accepted.\n")
    accepting = ["--session", met.session_id, "--accept", met.digest]
    return _run(context, url, [*options, *accepting])


def _folder(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="dovetail-demo-"))
    folder = keep.expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        empty = not any(folder.iterdir())
    except OSError as error:
        raise click.UsageError(f"--keep {folder}: {error.strerror}") from error
    if not empty:
        raise click.UsageError(f"--keep {folder}: it is not empty")
    return folder


def _introduce(project: Path, model: str | None) -> None:
    if model is None:
        click.echo("This is a rehearsal: no model and no network is used. A small")
        click.echo("program on this machine plays the model's part; it decides from")
        click.echo("what the tools answer. Everything else is real.")
    else:
        click.echo(f"The model is {model}.")
    click.echo(f"\nThe sample project is {project}")
    click.echo("There, edits and the test command are allowed without asking:")
    click.echo(f"  {shlex.join(_allowing())}\n")
    click.echo(f"> {sample_prompt()}\n")


def _allowing() -> list[str]:
    return ["--allow", "edit", "--allow", f"bash:{sample_command()}"]


def _run(context: click.Context, url: str, options: Sequence[str]) -> int:
    """Do ``dovetail run`` and return its exit code."""
    program = context.find_root().command
    command = (
        program.get_command(context, "run")
        if isinstance(program, click.Group)
        else None
    )
    if command is None:
        raise click.ClickException("the command `run` is not there to do it with")
    arguments = ["--db", url, *options]
    # Not the context's invoke: the arguments of `run` are documented, its code is not.
    with command.make_context("run", arguments, parent=context) as inner:
        code = command.invoke(inner)
    return code if isinstance(code, int) else 0


@contextmanager
def _rehearsal(project: Path) -> Iterator[None]:
    """Serve the rehearsal, in a thread of its own, and configure the run for it."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(rehearsal_server(pace=PACE)) as server,
    ):
        # Beside the project, not in it: what comes with a directory chooses no model.
        config = project.parent / "dovetail.toml"
        config.write_text(
            f'model = "rehearsal/{server.model}"\n\n'
            "[providers.rehearsal]\n"
            'protocol = "openai-chat"\n'
            f'base_url = "{server.base_url}"\n',
            encoding="utf-8",
        )
        # In the place of the person's own settings; and a proxy has no loopback.
        around = {
            "DOVETAIL_CONFIG": str(config),
            "NO_PROXY": LOOPBACK,
            "no_proxy": LOOPBACK,
        }
        with _environment(around):
            yield


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _conclude(project: Path, url: str, code: int) -> int:
    """Say how it ended and what to look at, and return the exit code."""
    passed = _tests_pass(project)
    click.echo("\nThe tests pass now." if passed else "\nThe tests fail still.")
    click.echo(f"\nThe database is {url}. Look at the session with")
    click.echo(f"  {shlex.join(['dovetail', 'sessions', '--db', url])}")
    session_id = anyio.run(_newest, url)
    if session_id is not None:
        for command in ("show", "log"):
            line = shlex.join(["dovetail", command, session_id, "--db", url])
            click.echo(f"  {line}")
    if code != 0:
        return code
    return 0 if passed else 1


def _tests_pass(project: Path) -> bool:
    try:
        done = subprocess.run(
            [sys.executable, "-B", "-m", "unittest"],
            cwd=project,
            capture_output=True,
            timeout=TEST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


async def _newest(url: str) -> str | None:
    async with open_runtime(url) as runtime:
        for info in await runtime.sessions.list(limit=1):
            return info.id
    return None
