"""The command ``run``: prompt a session, show what it does, and end as it ends.

Owns the command line: its options, what excludes what, and reading the prompt, what is
attached and a schema. What happens then is ``running``.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import anyio
import click
from attrs import evolve
from dovetail.kernel import Budget, DovetailError, Json, Prompt, PromptFile, Rule

from ..console.exits import USAGE, code_of_error
from ..console.first_use import first_model
from ..console.options import database_option
from ..console.terminal import Terminal, visible
from .asking import read_patterns
from .durations import DURATION
from .output import FORMATS, Format, RunOutput
from .piped import is_piped, read_piped
from .running import SAY_WHAT, Run, RunOptions

MAX_INPUT = 2 * 1_048_576
"""Bytes read from standard input; a prompt may be half of it."""


@click.command("run", short_help="Prompt a session and show what it does")
@click.argument("prompt", required=False)
@click.option(
    "-s",
    "--session",
    metavar="ID",
    help="Go on with this session; the beginning of its id will do.",
)
@click.option(
    "-c",
    "--continue",
    "newest",
    is_flag=True,
    help="Go on with the session used last here.",
)
@click.option(
    "--fork",
    is_flag=True,
    help="Leave that session as it is, and go on with a fork of it.",
)
@click.option(
    "--accept",
    metavar="DIGEST",
    help="Go on from the Continuation Report of this digest, without a prompt.",
)
@click.option(
    "-m", "--model", metavar="M", help="provider/model, such as openai/gpt-5.2."
)
@click.option("--agent", metavar="A", help="The agent profile.")
@click.option(
    "--location", metavar="DIR", help="Where to work. [default: the working directory]"
)
@database_option
@click.option(
    "--allow",
    metavar="PATTERN",
    multiple=True,
    callback=read_patterns,
    help="Answer matching permission requests with once: ACTION or ACTION:RESOURCE, "
    "such as edit or 'bash:git *'. May be repeated.",
)
@click.option(
    "--yes",
    is_flag=True,
    help="Allow everything that no rule denies. A report is not accepted by it.",
)
@click.option(
    "-f",
    "--file",
    "files",
    metavar="PATH",
    type=click.Path(exists=True, dir_okay=False),
    multiple=True,
    help="Attach a file to the prompt, such as a text or a PDF. May be repeated.",
)
@click.option(
    "-i",
    "--image",
    "images",
    metavar="PATH",
    type=click.Path(exists=True, dir_okay=False),
    multiple=True,
    help="Attach an image; anything else is refused. May be repeated.",
)
@click.option(
    "--max-steps",
    metavar="N",
    type=click.IntRange(min=1),
    help="Pause the work that this prompt begins after so many Steps.",
)
@click.option(
    "--max-cost",
    metavar="USD",
    type=click.FloatRange(min=0),
    help="Pause it when it cost so much, by the prices that are known.",
)
@click.option(
    "--timeout",
    metavar="TIME",
    type=DURATION,
    help="Interrupt it after this time, such as 90s, 10m or 1h.",
)
@click.option(
    "--output-format",
    "format",
    type=click.Choice(FORMATS),
    help="text; json: one object at the end; stream-json: a line for everything that "
    "happens, and that object last. [default: text]",
)
@click.option(
    "--json", "as_json", is_flag=True, help="The same as --output-format json."
)
@click.option(
    "--schema",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="Have an answer that this JSON Schema admits: `output` of the JSON.",
)
def run_command(
    prompt: str | None,
    session: str | None,
    newest: bool,
    accept: str | None,
    model: str | None,
    agent: str | None,
    location: str | None,
    db: str | None,
    allow: Sequence[Rule],
    yes: bool,
    fork: bool,
    files: Sequence[str],
    images: Sequence[str],
    max_steps: int | None,
    max_cost: float | None,
    timeout: float | None,
    format: str | None,
    as_json: bool,
    schema: str | None,
) -> int:
    """Prompt a session, a new one or an earlier one, and show what it does.

    \b
    dovetail run "Fix the failing test" -m openai/gpt-5.2
    pytest 2>&1 | dovetail run "Explain this"
    dovetail run -c "Now add one for the empty list" --max-cost 0.50
    dovetail run "What is wrong here?" --image shot.png --timeout 2m
    dovetail run "List the modules" --json --yes | jq -r .text

    What the model says goes to standard output, everything else to standard error.

    The prompt comes from standard input when PROMPT is "-", or left out and the input
    is no terminal. What is piped in beside a PROMPT follows it.

    Without a prompt, --session and --continue go on with what was left: what waits,
    what was interrupted, and what a process left that was killed. Where something of
    that is not known or has changed since, a report says what, and it goes on once
    that was accepted: at the terminal, by --accept, or by a new prompt.

    Exits with 0 when it succeeded, 1 when it failed, 2 for a wrong command line, 3
    when it is paused: something must be answered first, or a limit was reached; 124
    when its time was up, 130 when it was interrupted.
    """
    if session is not None and newest:
        raise click.UsageError("--session and --continue exclude each other")
    if session is not None and location is not None:
        raise click.UsageError("a session keeps its location; leave out --location")
    if accept is not None and prompt is not None:
        raise click.UsageError("a prompt accepts what was left; leave out --accept")
    attached = bool(files or images)
    if accept is not None and attached:
        raise click.UsageError("--file and --image need a prompt; leave out --accept")
    earlier = session is not None or newest
    if accept is not None and not earlier:
        raise click.UsageError("--accept needs --session or --continue")
    if fork and not earlier:
        raise click.UsageError("--fork needs --session or --continue")
    if as_json and format not in (None, "json"):
        raise click.UsageError(
            f"--json and --output-format {format} exclude each other"
        )
    terminal = Terminal()
    text = None if accept is not None else _read_prompt(prompt, earlier, terminal)
    if text is None:
        for given, option in (
            (attached, "--file and --image need"),
            (fork, "--fork needs"),
            (max_steps is not None, "--max-steps needs"),
            (max_cost is not None, "--max-cost needs"),
            (schema is not None, "--schema needs"),
        ):
            if given:
                raise click.UsageError(f"{option} a prompt")
    shape = cast("Format", "json" if as_json else format or "text")
    output = RunOutput(terminal, shape)
    wanted = _read_schema(schema)
    try:
        prompted = None if text is None else _prompt_of(text, files, images)
    except DovetailError as error:
        output.failed(None, error, code_of_error(error))
        raise
    limited = max_steps is not None or max_cost is not None
    options = RunOptions(
        prompted,
        session,
        newest,
        accept,
        model,
        agent,
        location,
        db,
        allow,
        yes,
        output.format,
        fork,
        Budget(steps=max_steps, cost=max_cost) if limited else None,
        timeout,
        wanted,
    )
    run = Run(options, terminal, output)
    code = anyio.run(run.run)
    if not run.lacks_model:
        return code
    # First use, and somebody is there to be asked.
    chosen = first_model()
    if chosen is None:
        return USAGE
    return anyio.run(Run(evolve(options, model=chosen), terminal, output).run)


def _prompt_of(text: str, files: Sequence[str], images: Sequence[str]) -> Prompt:
    """Return the prompt with what is attached.

    Raises:
        PromptInvalidError: one of the files cannot be attached.
        UsageError: an image is none.
    """
    attached = [PromptFile.of(path) for path in files]
    for path in images:
        image = PromptFile.of(path)
        if not image.mime.startswith("image/"):
            raise click.UsageError(
                f"{visible(path)} is no image but {visible(image.mime)}; attach it "
                "with --file"
            )
        attached.append(image)
    return Prompt.of(Prompt(text, tuple(attached)))


def _read_schema(path: str | None) -> Json:
    if path is None:
        return None
    try:
        found: Json = json.loads(Path(path).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise click.UsageError(
            f"{visible(path)} cannot be read as JSON: {visible(str(error))}"
        ) from error
    if not isinstance(found, dict):
        raise click.UsageError(f"{visible(path)} is no JSON Schema: it is no object")
    return found


def _read_prompt(given: str | None, earlier: bool, terminal: Terminal) -> str | None:
    """Return the prompt; None when there is none and an earlier session to go on.

    What is piped in beside a prompt follows it, as a file to look at.
    """
    said = None if given in (None, "-") else _typed(given)
    wanted = said is None and not (earlier and given is None)
    piped = None
    if is_piped():
        piped = read_piped(MAX_INPUT, terminal, wanted=wanted)
    elif wanted:
        raise click.UsageError(SAY_WHAT)
    if wanted and not (piped or "").strip():
        raise click.UsageError(f"standard input is empty; {SAY_WHAT}")
    if said is None:
        return piped if wanted else piped or None
    return f"{said}\n\n{piped}" if piped and piped.strip() else said


def _typed(text: str) -> str:
    """Return what was typed, as UTF-8 whatever the locale thinks that it was."""
    try:
        text.encode()
    except UnicodeEncodeError:
        try:
            return os.fsencode(text).decode()
        except UnicodeDecodeError as error:
            raise click.UsageError(
                f"the prompt is not UTF-8 at byte {error.start}"
            ) from None
    return text
