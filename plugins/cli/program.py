"""The program: collects commands, runs one, and turns every error into one line.

Owns the group of all commands, where problems of plugins are told, and the exit code.
Knows no command by name.
"""

import logging
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import click
from attrs import frozen
from dovetail.kernel import (
    Command,
    DovetailError,
    PluginError,
    PluginSet,
    load_plugins,
)

from ..console.exits import (
    FAILED,
    INTERRUPTED,
    SUCCEEDED,
    USAGE,
    code_of_error,
    foremost,
)
from ..console.server_name import OVER_SERVERS, SERVER
from ..console.terminal import OutputError, Style, Terminal, tell_error, visible
from .declared import declared
from .help import ABOUT, OPTIONS, page
from .named import did_you_mean

HOOK = "dovetail_register_commands"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")

logger = logging.getLogger(__name__)


def run_program(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Never raises."""
    _prepare_streams()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        _listen_to_interrupts()
    terminal = Terminal()
    told = _Warnings(terminal)
    log = logging.getLogger("dovetail")
    log.addHandler(told)
    propagate, log.propagate = log.propagate, False
    level = log.level
    try:
        return _run(list(arguments), terminal)
    except BaseException as error:
        # Boundary: a command may be a stranger's, and a person reads no tracebacks.
        return _end_of(foremost(error), terminal)
    finally:
        log.removeHandler(told)
        log.propagate = propagate
        log.setLevel(level)


def _run(arguments: list[str], terminal: Terminal) -> int:
    if {"-v", "--verbose"} & set(arguments[:1]):
        # Before the plugins are loaded, because that is what one wants to hear about.
        logging.getLogger("dovetail").setLevel(logging.DEBUG)
    program = CommandLine(load_plugins(environment=os.environ))
    answer = program.main(arguments, prog_name="dovetail", standalone_mode=False)
    sys.stdout.flush()
    return answer if isinstance(answer, int) else SUCCEEDED


def ended(error: BaseException) -> int:
    """Tell what ended something, as every command does, and return the exit code."""
    return _end_of(foremost(error), Terminal())


def _end_of(error: BaseException, terminal: Terminal) -> int:
    """Tell what ended a command before its end, and return the exit code."""
    match error:
        case KeyboardInterrupt() | click.Abort():
            return INTERRUPTED
        case SystemExit():
            return _code_of_exit(error, terminal)
        case BrokenPipeError():
            _let_go_of_output()
            return FAILED
        case OutputError():
            tell_error(terminal, str(error), "output.failed")
            _let_go_of_output()
            return FAILED
        case click.exceptions.NoArgsIsHelpError():
            error.show()
            return USAGE
        case click.ClickException():
            tell_error(terminal, _usage(error), "usage")
            return USAGE if isinstance(error, click.UsageError) else FAILED
        case DovetailError():
            tell_error(terminal, str(error), error.code)
            return code_of_error(error)
    logger.debug("the command broke", exc_info=error)
    name, text = type(error).__name__, str(error)
    tell_error(terminal, f"{name}: {text}" if text else name, "internal")
    return FAILED


def _code_of_exit(error: SystemExit, terminal: Terminal) -> int:
    """Return the code of an exit; a text is told, as the interpreter does."""
    if error.code is None or isinstance(error.code, int):
        return error.code or SUCCEEDED
    terminal.tell(visible(str(error.code)))
    return FAILED


def _usage(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if context is None:
        return message
    asked = _NO_COMMAND.match(message)
    if asked and isinstance(context.command, click.Group):
        meant = did_you_mean(asked[1], context.command.list_commands(context))
        if " " in asked[1].strip() and context.parent is None:
            meant = f"; a prompt is given to {_WITH_PROMPT}"
        elif asked[1] == "list" and context.command.invoke_without_command:
            meant = f"; `{context.command_path}` alone lists them"
        message = f"no such command {visible(asked[1])!r}{meant}"
    elif isinstance(error, click.NoSuchOption) and context.parent is None:
        message = f"{message.rstrip('.')}{_whose_option(error.option_name, context)}"
    return f"{message.rstrip('.')}; see {context.command_path} --help"


def _whose_option(name: str, context: click.Context) -> str:
    """Name the commands of a conversation that have an option, which is easily given
    before them."""
    group = context.command
    if not isinstance(group, click.Group):
        return ""
    has = [
        f"`{context.command_path} {command} {name}`"
        for command in ("chat", "run")
        if (found := group.get_command(context, command)) is not None
        and any(name in one.opts for one in found.params)
    ]
    return f"; did you mean {' or '.join(has)}?" if has else ""


_WITH_PROMPT = '`dovetail run "..."`'
_NO_COMMAND = re.compile(r"No such command '(.*?)'\.", re.DOTALL)


def _prepare_streams() -> None:
    _fill_closed()
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            # A terminal that lacks a character shows another one.
            reconfigure(errors="replace")


def _fill_closed() -> None:
    """Put something where a standard stream was closed (``>&-``): the next file that is
    opened, such as a database, would take its number, and what is printed would be
    written into it."""
    for number, name, mode in (
        (0, "stdin", "r"),
        (1, "stdout", "w"),
        (2, "stderr", "w"),
    ):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free, which is this one.
            os.open(os.devnull, os.O_RDWR)
        stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)


def _listen_to_interrupts() -> None:
    """Make SIGINT end a command that a script started in the background, too.

    Shells have such a process ignore it, for a Ctrl-C that is meant for the script;
    whoever sends it to this process means this process.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _let_go_of_output() -> None:
    """Make the interpreter's last flush go nowhere, without a word."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


# --- the commands -----------------------------------------------------------------


@frozen
class Offered:
    """A command and the plugin that added it."""

    plugin: str
    command: Command


def collect(plugins: PluginSet, ours: Collection[str] = ()) -> dict[str, Offered]:
    """Return the commands of all plugins by name, those of ``ours`` before all others.

    One that is wrong, or whose name is taken, is refused alone.
    """
    found: dict[str, Offered] = {}
    for plugin in sorted(plugins.implementing(HOOK), key=lambda name: name not in ours):
        try:
            plugins.call(plugin, HOOK, register=_register(plugins, plugin, found))
        except PluginError:
            # Recorded by the caller. Half of its commands are none of them.
            for name in [name for name, one in found.items() if one.plugin == plugin]:
                del found[name]
    return found


def collect_of(plugins: PluginSet, plugin: str) -> dict[str, Offered]:
    """Return the commands of one plugin, and import no other for it."""
    found: dict[str, Offered] = {}
    try:
        plugins.ask(plugin, HOOK, register=_register(plugins, plugin, found))
    except PluginError:
        # Recorded by the caller. Half of its commands are none of them.
        return {}
    return found


def _register(
    plugins: PluginSet, plugin: str, found: dict[str, Offered]
) -> Callable[[Command], None]:
    def register(command: Command) -> None:
        problem = _problem(command)
        if problem is None and command.name in found:
            problem = (
                f"command {command.name!r} is taken by plugin "
                f"{found[command.name].plugin!r}"
            )
        if problem is not None:
            plugins.record(PluginError(plugin, problem, hook=HOOK))
            return
        found[command.name] = Offered(plugin, command)

    return register


def _problem(command: object) -> str | None:
    if not isinstance(command, Command):
        return f"a command is a Command, not a {type(command).__name__}"
    # A stranger's: what is declared need not be so.
    name: Any = command.name
    told: Any = command.help
    load: Any = command.load
    if not isinstance(name, str) or not _NAME.match(name):
        return f"command name {name!r}: lower case letters, digits and -"
    if not isinstance(told, str) or not callable(load):
        return f"command {name!r} needs a help text and a function to load it"
    return None


def _verbose(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        logging.getLogger("dovetail").setLevel(logging.DEBUG)


def _server(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> None:
    if value:
        if not value.startswith(("http://", "https://")):
            raise click.BadParameter(
                f"{value!r} is no address, such as http://127.0.0.1:4096",
                context,
                parameter,
            )
        # What `dovetail serve` says is its API; a client begins one step higher.
        context.meta[SERVER] = value.rstrip("/").removesuffix("/api")


class CommandLine(click.Group):
    """The group of all commands. Each is loaded when it is run or its help shown.

    A plugin that declares its commands is imported when one of them is wanted. The
    others are when a command is not declared, or a list of all is wanted.
    """

    def __init__(self, plugins: PluginSet) -> None:
        super().__init__(
            "dovetail",
            help=ABOUT,
            params=[
                click.Option(
                    ["-v", "--verbose"],
                    is_flag=True,
                    expose_value=False,
                    callback=_verbose,
                    help=OPTIONS["-v, --verbose"],
                ),
                click.Option(
                    ["--server"],
                    metavar="URL",
                    expose_value=False,
                    callback=_server,
                    help=OPTIONS["--server URL"],
                ),
            ],
            context_settings={"help_option_names": ["-h", "--help"]},
        )
        click.version_option(package_name="dovetail")(self)
        self.plugins = plugins
        self._declared = declared()

    @cached_property
    def offered(self) -> Mapping[str, Offered]:
        """All commands. Every plugin is imported for them."""
        return collect(self.plugins, self._declared.ours)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read a command line. One that names no command is a conversation."""
        return super().parse_args(ctx, self._conversed(ctx, args))

    def _conversed(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``chat`` before its options where they are all that is said, behind our
        own: what says anything else may mean another command."""
        own = {name: one for one in self.get_params(ctx) for name in one.opts}
        at = 0
        while at < len(args) and (found := own.get(args[at].partition("=")[0])):
            if found.is_eager:
                # Help, or the version.
                return args
            at += 1 if getattr(found, "is_flag", False) or "=" in args[at] else 2
        rest = args[at:]
        if not args or (rest and (rest[0] == "--" or not rest[0].startswith("-"))):
            return args
        try:
            chat = self.get_command(ctx, "chat")
            if chat is None:
                return args
            parser = chat.make_parser(click.Context(chat, info_name="chat", parent=ctx))
            _, left, _ = parser.parse_args(list(rest))
        except (click.UsageError, PluginError):
            return args
        return args if left else [*args[:at], "chat", *rest]

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.offered)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        told = {name: visible(one.command.help) for name, one in self.offered.items()}
        formatter.write(page(told, formatter.width))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        one = self._alone(cmd_name) or self.offered.get(cmd_name)
        if one is None:
            return None
        if SERVER in ctx.meta and cmd_name not in OVER_SERVERS:
            # Never on a database of this machine, where another one was meant.
            raise click.UsageError(
                f"{cmd_name} does not work over --server; {', '.join(OVER_SERVERS)} do",
                ctx,
            )
        try:
            command: Any = one.command.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # Boundary: loading imports a stranger's code, which may want to exit.
            raise self._broken(one, f"{type(error).__name__}: {error}") from error
        if not isinstance(command, click.Command):
            raise self._broken(one, "it does not load a click command")
        # It may hold something from here on, which an interrupt lets go in order.
        _listen_to_interrupts()
        return command

    def _alone(self, name: str) -> Offered | None:
        """Return a command whose plugin is known without importing any other."""
        plugin = self._declared.owner(name)
        return None if plugin is None else collect_of(self.plugins, plugin).get(name)

    def _broken(self, one: Offered, problem: str) -> PluginError:
        return PluginError(
            one.plugin, f"command {one.command.name!r}: {problem}", hook=HOOK
        )


# --- problems of plugins ----------------------------------------------------------


class _Warnings(logging.Handler):
    """Tells warnings on standard error, one line each, and each once.

    Plugins are loaded for the command line and again for a runtime, so the same
    problem comes twice.
    """

    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self._terminal = terminal
        self._seen: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        verbose = logging.getLogger("dovetail").isEnabledFor(logging.DEBUG)
        if record.levelno < logging.WARNING and not verbose:
            return
        style: Style = self._terminal.error_style
        name = record.levelname.lower()
        line = f"{style.dim(f'{name}:')} {visible(record.getMessage())}"
        if line in self._seen:
            return
        self._seen.add(line)
        self._terminal.tell(line)
        if verbose and record.exc_info:
            for text in traceback.format_exception(*record.exc_info):
                for part in text.rstrip("\n").split("\n"):
                    self._terminal.tell(f"  {visible(part)}")
