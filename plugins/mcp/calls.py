"""Calls: one call of a server's tool, from the permission to what came of it.

Owns that a person is asked first, that the server is told which call it is, how long it
may take, and what it may ask meanwhile: a person by a durable question, a model only
where a rule says so. Neighbours: ``keeper`` has the connection, ``results`` the answer.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any, cast

import anyio
import mcp_types as types
from attrs import frozen
from dovetail.kernel import (
    Content,
    Json,
    Question,
    QuestionAnswer,
    QuestionOption,
    RuleEffect,
    ToolContext,
    ToolFailure,
    ToolStaleError,
    clean_text,
    first_of,
)
from mcp.client import InputRequiredRoundsExceededError
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from .connection import Connection
from .keeper import Keeper
from .names import bounded, clean, one_line
from .process import TOO_LONG
from .results import shown, words

ASK = "mcp"
SAMPLE = "mcp_sampling"
SAMPLER = "mcp-sampling"
"""The agent that answers for a server: it has no tools."""
TOKEN = "dovetail/effect-token"
"""Where the effect token is in ``_meta``: the same for every execution of a call."""
WAIT_SECONDS = 30.0
"""How long a call waits for a server that is being begun again."""
MAX_ASKED = 20
"""Times that a server may ask in one call."""


_CALLING: ContextVar["Call | None"] = ContextVar("dovetail_mcp_call", default=None)
"""The call whose task this is. Since 2026 a server asks in the answer of a call, and is
answered in its task; before, in a message that does not say which call it means."""


@frozen
class McpOutput:
    """What is recorded of an answer beside what the model is shown."""

    server: str
    tool: str
    structured: dict[str, Any] | None = None


@frozen
class McpResult(McpOutput):
    """The whole answer. What is shown is recorded as content, so not once more here."""

    contents: tuple[Content, ...] = ()


class Call:
    """One call that runs, as its server may ask something in it."""

    def __init__(
        self,
        keeper: Keeper,
        context: ToolContext,
        timeout: float,
        effect: Callable[[str, str], RuleEffect],
    ) -> None:
        self._server = keeper.server.name
        self._effect = effect
        self.context = context
        self._timeout = timeout
        self._scope = anyio.CancelScope()
        self._asked = 0
        self._stopped: Exception | None = None
        self._asking: list[anyio.CancelScope] = []
        """What it asks now."""
        self._over = False

    # --- what the server asks, in a task of the connection ------------------------

    async def elicit(self, params: Any) -> Any:
        """Ask a person, and return the answer of the protocol."""
        found = await self._ask(self._elicited, params)
        return found or types.ElicitResult(action="cancel")

    async def sample(self, params: Any) -> Any:
        """Ask a model, where that is allowed."""
        found = await self._ask(self._sampled, params)
        return found or _refusal("the call has ended")

    async def _ask(self, answer: Callable[[Any], Awaitable[Any]], params: Any) -> Any:
        """Return an answer, or None where the call has ended, or ends with this."""
        self._asked += 1
        if self._asked > MAX_ASKED or self._over:
            return _refusal(f"over {MAX_ASKED} questions in one call")
        found: Any = None
        # It ends with its call, whose task is another one.
        with anyio.CancelScope() as scope:
            self._asking.append(scope)
            # Whoever waits for a person does not hang.
            self._scope.deadline = float("inf")
            try:
                found = await answer(params)
            except Exception as error:
                # It ends the call, once the server has heard that there is no answer.
                self._stopped = self._stopped or error
            finally:
                self._asking.remove(scope)
                if not self._asking:
                    self._wait_anew()
        return found

    # --- the call, in its own task -------------------------------------------------

    async def run(self, make: Callable[[Any], Awaitable[Any]]) -> Any:
        """Return what ``make`` returns, answering meanwhile what the server asks.

        Raises:
            TimeoutError: there was no sign of progress for too long.
            Whatever ``make`` raises, and what ended a question.
        """
        self._wait_anew()
        found: list[Any] = []
        calling = _CALLING.set(self)
        try:
            with self._scope:
                found.append(await make(self._progress))
        except Exception:
            if self._stopped is None:
                raise
        finally:
            _CALLING.reset(calling)
            self._over = True
            for scope in self._asking:
                scope.cancel()
        if self._stopped is not None:
            raise self._stopped
        if not found:
            raise TimeoutError
        return found[0]

    def _wait_anew(self) -> None:
        self._scope.deadline = anyio.current_time() + self._timeout

    async def _progress(
        self, progress: float, total: float | None, message: str | None
    ) -> None:
        self._wait_anew()
        of = f" of {total:g}" if total else ""
        said = f": {one_line(message)}" if message else ""
        self.context.progress(f"{self._server} {progress:g}{of}{said}")

    # --- a person ------------------------------------------------------------------

    async def _elicited(self, params: Any) -> Any:
        message = f"The MCP server {self._server!r} asks: {clean(params.message)}"
        message = bounded(message, 4_000)
        if isinstance(params, types.ElicitRequestURLParams):
            url = one_line(params.url, 2_000)
            question = _choice(
                f"{message}\nOpen in a browser: {url}", "Done", "Decline"
            )
            [answer] = await self.context.question([question])
            accepted = answer.chosen == ("Done",)
            return types.ElicitResult(action="accept" if accepted else "decline")
        fields = _fields(params.requested_schema)
        if not fields:
            [answer] = await self.context.question(
                [_choice(message, "Accept", "Decline")]
            )
            accepted = answer.chosen == ("Accept",)
            return types.ElicitResult(
                action="accept" if accepted else "decline",
                content={} if accepted else None,
            )
        questions = [
            _question(f"{message}\n{name}" if at == 0 else name, one)
            for at, (name, one) in enumerate(fields.items())
        ]
        answers = await self.context.question(questions)
        content: dict[str, Any] = {}
        for (name, one), answer in zip(fields.items(), answers, strict=True):
            value = _value(one, answer)
            if value is not None:
                content[name] = value
        required = params.requested_schema.get("required", ())
        if any(name not in content for name in required) or not content:
            return types.ElicitResult(action="decline")
        return types.ElicitResult(action="accept", content=content)

    # --- a model -------------------------------------------------------------------

    async def _sampled(self, params: Any) -> Any:
        # A rule and nothing else: whoever lets calls pass unasked did not mean that
        # a server may spend what a model costs.
        if self._effect(SAMPLE, self._server) != "allow":
            return _refusal(f"no rule allows {SAMPLE!r} to {self._server!r}")
        said = [f"{params.system_prompt}"] if params.system_prompt else []
        for message in params.messages:
            blocks = message.content
            for block in blocks if isinstance(blocks, list) else [blocks]:
                if not isinstance(block, types.TextContent):
                    return _refusal("only texts are taken")
                said.append(f"{message.role}: {block.text}")
        prompt = clean_text("\n\n".join(said))
        child = await self.context.children.begin(
            prompt,
            agent=SAMPLER,
            title=f"for the MCP server {self._server}",
            key=f"sampling-{self._asked}",
        )
        answer = await self.context.children.run(child)
        if answer.status != "succeeded":
            return _refusal("no model answered")
        return types.CreateMessageResult(
            role="assistant",
            model="dovetail",
            content=types.TextContent(type="text", text=answer.text),
        )


def _refusal(why: str) -> Any:
    return types.ErrorData(code=types.INVALID_REQUEST, message=why)


def _choice(text: str, *labels: str) -> Question:
    options = tuple(QuestionOption(one) for one in labels)
    return Question(text, options=options, free=False)


def _fields(schema: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    found = schema.get("properties", {})
    fields = found.items() if isinstance(found, Mapping) else ()
    return {
        str(name): one for name, one in list(fields)[:20] if isinstance(one, Mapping)
    }


def _options(field: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that a field may have, by what they are called."""
    if field.get("type") == "boolean":
        return {"Yes": True, "No": False}
    if field.get("type") == "array" and isinstance(field.get("items"), Mapping):
        return _options(field["items"])
    for key in ("oneOf", "anyOf"):
        several = field.get(key)
        if isinstance(several, list):
            return {
                one_line(str(one.get("title", one["const"]))): one["const"]
                for one in several
                if isinstance(one, Mapping) and "const" in one
            }
    values = field.get("enum")
    if not isinstance(values, list):
        return {}
    names = field.get("enumNames")
    if not isinstance(names, list) or len(names) != len(values):
        names = values
    return {
        one_line(str(name)): value for name, value in zip(names, values, strict=True)
    }


def _question(text: str, field: Mapping[str, Any]) -> Question:
    for key in ("title", "description"):
        if isinstance(field.get(key), str):
            text += f"\n{bounded(clean(field[key]), 1_000)}"
    options = tuple(QuestionOption(one) for one in list(_options(field))[:50])
    return Question(
        clean(text),
        options=options,
        multiple=field.get("type") == "array",
        free=not options,
    )


def _value(field: Mapping[str, Any], answer: QuestionAnswer) -> Any:
    options = _options(field)
    if options:
        chosen = [options[one] for one in answer.chosen if one in options]
        if field.get("type") == "array":
            return chosen
        return chosen[0] if chosen else None
    text = (answer.text or "").strip()
    try:
        if field.get("type") == "integer":
            return int(text)
        if field.get("type") == "number":
            return float(text)
    except ValueError:
        return None
    return text or None


# --- one call ---------------------------------------------------------------------


class ToolCalls:
    """The calls of one server that run."""

    def __init__(
        self, keeper: Callable[[], Keeper], effect: Callable[[str, str], RuleEffect]
    ) -> None:
        self._keeper = keeper
        self._effect = effect
        self._running: list[Call] = []
        self._one_by_one = False
        """Whether it asked when nobody could tell whom: since then it is called for
        one session at a time."""
        self._left = anyio.Event()
        """Set when a call ends."""

    def person(self) -> Call | None:
        """Return the call in which the server asks something; None where several
        sessions are waiting for it, and nobody can tell which one it means."""
        calling = _CALLING.get()
        if calling is not None and calling in self._running:
            return calling
        sessions = {one.context.session_id for one in self._running}
        if len(sessions) > 1:
            self._one_by_one = True
        return self._running[-1] if len(sessions) == 1 else None

    async def _turn(self, context: ToolContext, seconds: float) -> bool:
        """Return once the server may be called for a session; False: not in time."""
        with anyio.move_on_after(seconds):
            while self._one_by_one and any(
                one.context.session_id != context.session_id for one in self._running
            ):
                context.progress("waits for a call of another session")
                await self._left.wait()
            return True
        return False

    async def call(
        self,
        name: str,
        tool: str,
        arguments: Mapping[str, Json],
        context: ToolContext,
        active: Callable[[], bool],
    ) -> McpResult:
        """Ask for the permission, call the tool, and return what came of it.

        ``name`` is what it is called here; ``active`` says whether it still is what
        was advertised.

        Raises:
            ToolFailure: whatever the model should read.
            ToolStaleError: it changed since it was advertised.
        """
        keeper = self._keeper()
        server = keeper.server
        resource = f"{server.name}/{one_line(tool, 128)}"
        metadata: dict[str, Json] = {
            "server": server.name,
            "tool": one_line(tool, 128),
            "arguments": dict(arguments),
        }
        await context.ask(
            ASK, [resource], save=[resource], metadata=metadata, begun=False
        )
        connection = await keeper.connection(min(server.timeout, WAIT_SECONDS))
        if not await self._turn(context, server.timeout):
            raise ToolFailure(
                f"{resource} was not called: the MCP server {server.name!r} is busy "
                "with a call of another session"
            )
        if not active():
            raise ToolStaleError(name)
        if connection is None:
            raise ToolFailure(
                f"the MCP server {server.name!r} is not there now, and the tool was "
                f"not called: {keeper.problem or 'it is being begun'}"
            )
        call = Call(keeper, context, server.timeout, self._effect)
        asking = self._asking(connection, tool, arguments, context)
        self._running.append(call)
        try:
            try:
                result = await call.run(lambda seen: asking(progress_callback=seen))
            except MCPError as error:
                # A server over HTTP that was begun anew knows its sessions no more, and
                # did nothing: the call is made in another one.
                if server.url is None or not await connection.forgotten(error):
                    raise
                again = await keeper.another(connection, WAIT_SECONDS)
                if again is None or not active():
                    raise
                connection = again
                call = Call(keeper, context, server.timeout, self._effect)
                asking = self._asking(connection, tool, arguments, context)
                self._running.append(call)
                result = await call.run(lambda seen: asking(progress_callback=seen))
        except TimeoutError:
            raise ToolFailure(
                f"{resource} gave no sign for {server.timeout:g} s and was told to "
                "stop. Whether it had an effect is not known."
            ) from None
        except MCPError as error:
            raise await self._failure(resource, error, keeper, connection) from error
        except (ValidationError, InputRequiredRoundsExceededError) as error:
            raise ToolFailure(
                f"{resource} answered what is no answer ({type(error).__name__}). "
                "Whether it had an effect is not known."
            ) from error
        finally:
            self._running = [one for one in self._running if one.context is not context]
            left, self._left = self._left, anyio.Event()
            left.set()
        structured = result.structured_content
        if result.is_error:
            said = await words(result.content)
            raise ToolFailure(said or f"{resource} failed and did not say why")
        has = structured is not None
        if has or tool in connection.schemas:
            wrong = connection.problems(tool, structured)
            if wrong:
                told = "; ".join(one_line(one, 200) for one in wrong[:5])
                said = bounded(await words(result.content), 4_000)
                raise ToolFailure(
                    f"{resource} was done, and its answer is not of the form that it "
                    f"promises: {told}" + (f"\nIt said: {said}" if said else "")
                )
        parts = await shown(result.content, structured)
        kept = structured if isinstance(structured, dict) else None
        if has and kept is None:
            kept = {"result": json.loads(json.dumps(structured))}
        return McpResult(server.name, one_line(tool, 128), kept, tuple(parts))

    @staticmethod
    def _asking(
        connection: Connection,
        tool: str,
        arguments: Mapping[str, Json],
        context: ToolContext,
    ) -> Callable[..., Awaitable[Any]]:
        return partial(
            connection.client.call_tool,
            tool,
            dict(arguments),
            meta=cast("types.RequestParamsMeta", {TOKEN: context.effect_token}),
        )

    async def _failure(
        self, resource: str, error: MCPError, keeper: Keeper, connection: Connection
    ) -> ToolFailure:
        found = first_of(error)
        if (
            error.code == types.CONNECTION_CLOSED
            and keeper.server.url is not None
            and not connection.closed.is_set()
        ):
            # Over HTTP an answer can be cut off while its server is there.
            return ToolFailure(
                f"the answer of {resource} was cut off: "
                f"{bounded(clean(str(found)), 1_000)}. "
                "Whether the call had an effect is not known."
            )
        if error.code == types.CONNECTION_CLOSED:
            # Its keeper hears the same, and knows its last words in a moment.
            await keeper.lost(seconds=5.0)
            return ToolFailure(
                f"the MCP server ended while {resource} ran: {keeper.problem}. "
                "Whether the call had an effect is not known."
            )
        if error.code == TOO_LONG:
            return ToolFailure(f"{resource}: {error.message}, and was passed over")
        return ToolFailure(
            f"{resource} was refused: {bounded(clean(str(found)), 4_000)}"
        )


def render(output: McpOutput) -> list[Content]:
    """Return what the model is shown."""
    return list(output.contents) if isinstance(output, McpResult) else []
