"""The commands of the prompt line: what begins with ``/``.

Owns their table, which completion, ``/help`` and the documentation are made from, and
what each does with a ``Talk``. Skills are commands, too: ``/name`` has the model use
one.
"""

from pathlib import Path

from dovetail.kernel import (
    SummaryMessage,
    UserMessage,
)

from ..console.listing import ago, usage_text
from ..console.terminal import first_line, short, visible
from . import paging
from .chat_command import ChatCommand, told_of
from .exporting import export
from .key_names import DISMISS, KEYS
from .talk import Talk

MOST_LISTED = 30
ROWS_BELOW = 6
"""Rows that a list leaves for what is below it."""


async def _help(talk: Talk, rest: str) -> None:
    if talk.script.tells:
        keys = [(key.plain, key.help) for key in KEYS if key.plain]
        keys.append((DISMISS, "leave a question without an answer"))
    else:
        keys = [(key.shown, key.help) for key in KEYS]
    lines = [talk.style.strong("keys")]
    wide = max(len(name) for name, _ in keys)
    lines += [f"  {name.ljust(wide)}  {told}" for name, told in keys]
    lines.append(talk.style.strong("commands"))
    names = {f"/{one.name} {one.takes}".rstrip(): one.help for one in COMMANDS}
    wide = max(map(len, names))
    lines += [f"  {name.ljust(wide)}  {told}" for name, told in names.items()]
    if talk.offer.skills:
        lines.append(talk.style.strong("skills"))
        lines += [
            f"  /{visible(one.name)}  {short(one.description, 100)}"
            for one in talk.offer.skills
        ]
    if talk.offer.prompts:
        lines.append(talk.style.strong("prompts"))
        lines += [
            f"  /{visible(one.name)}  {told_of(one, 100)}" for one in talk.offer.prompts
        ]
    lines.append("  @path attaches a file")
    talk.show("\n")
    talk.show_lines(lines)


async def _model(talk: Talk, rest: str) -> None:
    if not rest:
        models = await talk.here.models()
        usable = {
            one.name for one in await talk.here.providers() if one.missing is None
        }
        names = [one.name for one in models if one.name.partition("/")[0] in usable]
        now = talk.script.model or talk.named_model
        talk.say(f"the model is {now or 'none'}; /model provider/name takes another")
        talk.show_lines(f"  {visible(name)}" for name in names[:MOST_LISTED])
        if len(names) > MOST_LISTED:
            talk.say(f"and {len(names) - MOST_LISTED} more: `dovetail models`")
        return
    talk.named_model = await talk.here.model_for(rest, talk.agent)
    talk.model, talk.script.model = rest, None
    if talk.session is not None:
        await talk.session.switch_model(rest)
    talk.say(f"{talk.named_model} answers from the next Step on")


async def _agent(talk: Talk, rest: str) -> None:
    if not rest:
        now = talk.script.agent or talk.agent or "the configured one"
        talk.say(f"the agent is {now}; /agent name takes another")
        for one in await talk.here.agents():
            told = short(first_line(one.description), 80)
            talk.show_lines([f"  {visible(one.name)}  {told}".rstrip()])
        return
    talk.named_model = await talk.here.model_for(talk.model, rest)
    talk.agent, talk.script.agent, talk.script.model = rest, None, None
    if talk.session is not None:
        await talk.session.switch_agent(rest)
    talk.say(f"agent {rest} goes on from the next Step on")


async def _sessions(talk: Talk, rest: str) -> None:
    # The newest is the first, and stays on the screen.
    fitting = max(min(MOST_LISTED, talk.screen.height - ROWS_BELOW), 5)
    page = await talk.runtime.sessions.list(
        location=talk.location, limit=MOST_LISTED if rest else fitting, roots=True
    )
    if rest:
        infos = list(page)
        number = int(rest) if rest.isdecimal() and len(rest) < 4 else 0
        wanted = infos[number - 1].id if 0 < number <= len(infos) else rest
        await talk.go_to(await talk.runtime.sessions.get(wanted))
        return
    for number, info in enumerate(page, 1):
        title = short(info.title or info.id, 60)
        now = " (this one)" if talk.session and talk.session.id == info.id else ""
        left = " (left unfinished)" if info.status == "lost" else ""
        line = f"  {number}. {title}{left}{now}, {ago(info.updated)}"
        talk.show_lines([line])
    if page.cursor is not None:
        talk.say("older ones: `dovetail sessions`")
    talk.say(
        "/sessions N goes on with one" if page.items else "there is no session here yet"
    )


async def _new(talk: Talk, rest: str) -> None:
    talk.leave_session()
    talk.script = talk.script.fresh()
    talk.say("the next prompt begins a new session")
    if rest:
        await talk.prompt(rest, queue=False)


async def _fork(talk: Talk, rest: str) -> None:
    if talk.session is None:
        talk.screen.hint("there is nothing to fork yet")
        return
    made = await talk.session.fork(title=rest or None)
    before = talk.session.id
    await talk.go_to(made)
    talk.say(f"this is a fork; {before} stays as it is")


async def _compact(talk: Talk, rest: str) -> None:
    if talk.session is None:
        talk.screen.hint("there is nothing to summarise yet")
        return
    await talk.session.compact()
    talk.say("a summary of older history is asked for")


async def _context(talk: Talk, rest: str) -> None:
    status = talk.status_now()
    talk.say(f"model {status.model or 'none'}, agent {status.agent or 'as configured'}")
    if status.filled is not None:
        window = f" of {status.window:,}" if status.window else ""
        part = f", {status.filled / status.window:.0%}" if status.window else ""
        talk.say(f"{status.filled:,} tokens{window} at the last Step{part}")
    if talk.session is None:
        return
    history = await talk.session.history()
    summed = sum(isinstance(one, SummaryMessage) for one in history)
    note = ", the first of them a summary" if summed else ""
    talk.say(f"{len(history)} messages are shown to the model{note}")
    for source in await talk.here.context():
        problem = f": {first_line(source.reason)}" if source.reason else ""
        talk.show_lines([f"  {visible(source.key)}{visible(problem)}"])


async def _todo(talk: Talk, rest: str) -> None:
    lines = talk.script.todo_lines()
    talk.show("".join(f"  {line}\n" for line in lines))
    if not lines:
        talk.say("the list is empty")


async def _queue(talk: Talk, rest: str) -> None:
    if rest:
        await talk.prompt(rest, queue=True)
    else:
        talk.screen.hint("say what to queue: /queue text")


async def _pending(talk: Talk, rest: str) -> None:
    waiting = talk.script.inbox.waiting
    if rest.isdecimal() and 0 < int(rest) <= len(waiting):
        await talk.withdraw(waiting[int(rest) - 1].id)
        return
    for number, one in enumerate(waiting, 1):
        text = short(first_line(one.prompt.text), 60)
        talk.show_lines([f"  {number}. {text} ({one.told})"])
    talk.say("/pending N takes one back" if waiting else "nothing waits")


async def _permissions(talk: Talk, rest: str) -> None:
    word, _, which = rest.partition(" ")
    if word == "revoke" and which.strip():
        await talk.here.permissions.revoke(which.strip())
        talk.say(f"revoked {which.strip()}")
        return
    saved = await talk.here.permissions.saved()
    for one in saved:
        stale = " (does not count now)" if one.stale else ""
        pattern = visible(one.pattern)
        line = f"  {one.id}  {one.action} of {pattern}, {one.scope}{stale}"
        talk.show_lines([visible(line)])
    talk.say(
        "/permissions revoke ID takes one back"
        if saved
        else "nothing is approved for good here"
    )


async def _cost(talk: Talk, rest: str) -> None:
    if talk.session is None:
        talk.say("nothing was asked yet")
        return
    info = await talk.session.info()
    steps = f"{info.steps} Step{'' if info.steps == 1 else 's'}"
    cost = talk.script.spending.cost_text() or "the price is not known"
    talk.say(f"{steps}, {usage_text(info.usage)}; {cost}")


async def _undo(talk: Talk, rest: str) -> None:
    if talk.session is None:
        talk.screen.hint("there is nothing to take back yet")
        return
    history = list(await talk.session.history())
    said = [n for n, one in enumerate(history) if isinstance(one, UserMessage)]
    if not said:
        talk.screen.hint("there is no prompt to go back before")
        return
    last = said[-1]
    undone = history[last]
    if last == 0 and undone.seq < 0:
        talk.screen.hint("what another session shares stays; /new begins anew")
        return
    made = await talk.session.revert(history[last - 1].id if last else None)
    talk.show_lines(f"  restored {visible(path)}" for path in made.done)
    talk.show_lines(
        f"  left {visible(path)}: {visible(why)}" for path, why in made.left.items()
    )
    talk.say("/redo brings it back until you say something; /undo goes further back")
    talk.screen.put_back(undone.text, instead=True)


async def _redo(talk: Talk, rest: str) -> None:
    if talk.session is None:
        talk.screen.hint("nothing was taken back")
        return
    made = await talk.session.unrevert()
    talk.screen.put_back("", instead=True)
    talk.show_lines(f"  restored {visible(path)}" for path in made.done)
    talk.show_lines(
        f"  left {visible(path)}: {visible(why)}" for path, why in made.left.items()
    )


async def _expand(talk: Talk, rest: str) -> None:
    if rest.isdecimal() and len(rest) < 9:
        await paging.whole(talk, int(rest))
    else:
        talk.expand()


async def _thoughts(talk: Talk, rest: str) -> None:
    for text in talk.script.writing.thoughts[-20:]:
        talk.show("\n" + talk.script.sheet.thought(text))
    if not talk.script.writing.thoughts:
        talk.say("the model has not shown any thoughts")


async def _export(talk: Talk, rest: str) -> None:
    if talk.session is None:
        talk.screen.hint("there is nothing to export yet")
        return
    name = rest or f"{talk.session.id}.md"
    path = Path(talk.location.directory, name)
    try:
        await export(talk.session, path)
    except OSError as error:
        talk.say(f"{path} cannot be written: {error.strerror}")
        return
    talk.say(f"written to {path}")


async def _quit(talk: Talk, rest: str) -> None:
    talk.screen.leave()


COMMANDS: tuple[ChatCommand, ...] = (
    ChatCommand("model", "[provider/name]", "Show the models, or take another", _model),
    ChatCommand("agent", "[name]", "Show the agents, or take another", _agent),
    ChatCommand(
        "sessions", "[N or id]", "List sessions here, or go on with one", _sessions
    ),
    ChatCommand("new", "[prompt]", "Begin a new session", _new),
    ChatCommand(
        "fork", "[title]", "Go on in a copy, and keep this one as it is", _fork
    ),
    ChatCommand("compact", "", "Replace older history by a summary", _compact),
    ChatCommand(
        "context", "", "Show what the model is told, and how full it is", _context
    ),
    ChatCommand("todo", "", "Show the to-do list", _todo),
    ChatCommand("queue", "text", "Send when the work is done", _queue),
    ChatCommand("pending", "[N]", "Show what waits, or take one back", _pending),
    ChatCommand(
        "permissions", "[revoke ID]", "Show what was approved for good", _permissions
    ),
    ChatCommand("cost", "", "Show tokens and cost", _cost),
    ChatCommand("undo", "", "Take the last prompt back, and restore files", _undo),
    ChatCommand("redo", "", "Bring back what /undo took", _redo),
    ChatCommand(
        "expand", "[N]", "Show a tool call whole, the last or number N", _expand
    ),
    ChatCommand("thoughts", "", "Show what the model thought", _thoughts),
    ChatCommand(
        "export", "[file]", "Write the transcript: Markdown, or .jsonl", _export
    ),
    ChatCommand("help", "", "Show keys and commands", _help),
    ChatCommand("quit", "", "Leave", _quit),
)
