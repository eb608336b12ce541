"""Showing: the kernel's values as opencode's V2 surface shapes them, and back.

Owns what a name of theirs means in ours. Asks nobody anything.
"""

import base64
import binascii
import hashlib
import json
import re
import urllib.parse
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from dovetail.kernel import (
    AdmittedPrompt,
    AgentProfile,
    AssistantMessage,
    Event,
    FileContent,
    FilePart,
    InvalidValueError,
    Location,
    Message,
    ModelInfo,
    NoticeMessage,
    Part,
    PermissionRequest,
    Price,
    PriceAbove,
    Prompt,
    PromptCommand,
    PromptFile,
    ProviderState,
    QuestionAnswer,
    QuestionOption,
    QuestionRequest,
    ReasoningEffort,
    ReasoningPart,
    SavedApproval,
    SessionInfo,
    Skill,
    SummaryMessage,
    TextContent,
    TextPart,
    ToolPart,
    Usage,
    UserMessage,
    event_to_json,
)

from . import offers as o, shapes as s
from .problems import unsupported
from .wrong import MisplacedError


def project_of(directory: str) -> str:
    """Return the id of what a directory belongs to: itself."""
    return f"prj_{hashlib.sha256(directory.encode()).hexdigest()[:24]}"


def location_info(location: Location) -> s.LocationInfo:
    project = s.Project(project_of(location.directory), location.directory)
    return s.LocationInfo(location.directory, project, location.workspace)


EFFORTS: Sequence[str] = get_args(ReasoningEffort)
"""How much a model can be told to think: its variants."""
READS = ("image", "audio", "video", "pdf")


def model_ref(model: str | None) -> s.ModelRef | None:
    if model is None:
        return None
    provider, _, name = model.partition("/")
    base, _, variant = name.rpartition(":")
    if base and variant in EFFORTS:
        return s.ModelRef(base, provider, variant)
    return s.ModelRef(name, provider)


def model_name(model: s.ModelRef | None) -> str | None:
    """Return the name of a model, with its variant.

    Raises:
        Refusal: there is no such variant of any model.
    """
    if model is None:
        return None
    name = f"{model.providerID}/{model.id}"
    if model.variant in (None, "default"):
        return name
    if model.variant not in EFFORTS:
        rule = f"a variant is one of {', '.join(EFFORTS)}"
        raise unsupported(f"the variant {model.variant!r}", rule, "$.model.variant")
    return f"{name}:{model.variant}"


def tokens(usage: Usage) -> s.Tokens:
    return s.Tokens(
        usage.input or 0,
        usage.output or 0,
        usage.reasoning or 0,
        s.CacheTokens(usage.cache_read or 0, usage.cache_write or 0),
    )


def session(info: SessionInfo) -> s.SessionShape:
    directory = info.location.directory
    return s.SessionShape(
        id=info.id,
        projectID=project_of(directory),
        cost=info.cost or 0,
        tokens=tokens(info.usage),
        time=s.Times(info.created, info.updated),
        title=info.title or "",
        location=s.LocationRef(directory, info.location.workspace),
        dovetail=info,
        parentID=info.parent,
        agent=info.agent,
        model=model_ref(info.model),
    )


# --- prompts ----------------------------------------------------------------------

_DATA = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[\w-]+=[^;,]*)*)(;base64)?,", re.A)


def prompt(given: s.PromptShape) -> Prompt:
    """Return a prompt as it is admitted.

    Raises:
        Refusal: it attaches something that is not there by content, or an agent.
        InvalidValueError: an attachment is not what it says.
    """
    if given.agents:
        rule = "say its name in the text"
        raise unsupported("an agent that is attached", rule, "$.prompt.agents")
    return Prompt(given.text, tuple(_file(*one) for one in enumerate(given.files)))


def _file(number: int, given: s.Attachment) -> PromptFile:
    path = f"$.prompt.files[{number}].uri"
    found = _DATA.match(given.uri)
    if found is None:
        said = f"the attachment {given.uri[:60]!r}"
        raise unsupported(said, "attach by content, as data:", path)
    mime = found[1] or given.mime or "text/plain"
    rest = given.uri[found.end() :]
    if found[3]:
        try:
            base64.b64decode(rest, validate=True)
        except (binascii.Error, ValueError) as error:
            rule = "its data is not base64"
            refused = InvalidValueError("attachment", given.name or "", rule)
            raise MisplacedError(refused, path) from error
    else:
        rest = base64.b64encode(urllib.parse.unquote_to_bytes(rest)).decode()
    return PromptFile(given.name or "attachment", mime, rest)


def attachment(file: PromptFile) -> s.Attachment:
    return s.Attachment(
        uri=f"data:{file.mime};base64,{file.data}", name=file.name, mime=file.mime
    )


def admitted(receipt: AdmittedPrompt, said: Prompt) -> s.AdmittedShape:
    return s.AdmittedShape(
        admittedSeq=receipt.cursor,
        id=receipt.id,
        sessionID=receipt.session_id,
        prompt=s.PromptShape(said.text, tuple(map(attachment, said.files))),
        delivery=receipt.delivery,
        timeCreated=receipt.created,
        dovetail=receipt,
    )


# --- messages ---------------------------------------------------------------------


def message(given: Message) -> s.MessageShape:
    when = s.Moment(given.created)
    match given:
        case UserMessage():
            files = tuple(map(attachment, given.files))
            return s.UserShape(given.id, when, given.text, given, files)
        case NoticeMessage():
            return s.SystemShape(given.id, when, given.text, given)
        case SummaryMessage():
            return s.CompactionShape(given.id, when, given.text, given)
        case AssistantMessage():
            return _assistant(given)


def _assistant(given: AssistantMessage) -> s.AssistantShape:
    model = model_ref(given.model)
    assert model is not None
    return s.AssistantShape(
        id=given.id,
        time=s.Moment(given.created, given.ended),
        agent=given.agent,
        model=model,
        content=tuple(
            _part(given, number, part) for number, part in enumerate(given.parts)
        ),
        dovetail=given,
        finish=given.finish,
        tokens=None if given.usage is None else tokens(given.usage),
        error=None
        if given.failure is None
        else s.UnknownFailure(given.failure.message),
    )


def _part(
    of: AssistantMessage, number: int, part: Part
) -> s.TextShape | s.ReasoningShape | s.ToolShape:
    match part:
        case TextPart() | FilePart():
            # Theirs has no file that a model makes; what it is and its key are text.
            return s.TextShape(f"{of.id}:{number}", part.text)
        case ReasoningPart():
            return s.ReasoningShape(f"{of.id}:{number}", part.text)
        case ToolPart():
            return s.ToolShape(
                id=part.call_id,
                name=part.tool,
                state=_state(part),
                time=s.Moment(of.created, of.ended if part.settled else None),
            )


def _state(
    part: ToolPart,
) -> s.CallPending | s.CallRunning | s.CallCompleted | s.CallError:
    try:
        written = json.loads(part.arguments)
    except (ValueError, RecursionError):
        written = None
    arguments: dict[str, Any] = written if isinstance(written, dict) else {}
    content = tuple(map(_content, part.content))
    if part.failure is not None:
        failure = s.UnknownFailure(part.failure.message)
        return s.CallError(arguments, content, failure)
    if part.settled:
        return s.CallCompleted(arguments, content)
    if written is None:
        return s.CallPending(part.arguments)
    return s.CallRunning(arguments, content=content)


def _content(given: TextContent | FileContent) -> s.ToolContent:
    if isinstance(given, TextContent):
        return s.ToolText(given.text)
    return s.ToolFile(
        uri=f"data:{given.mime};base64,{given.data}",
        mime=given.mime,
        name=getattr(given, "name", None),
    )


def event(given: Event) -> s.EventShape:
    return s.EventShape(
        id=f"{given.session_id}:{given.seq}",
        type=given.kind,
        durable=s.DurableMark(given.session_id, given.seq, given.version),
        data=event_to_json(given),
    )


# --- what a Location offers -------------------------------------------------------


def agent(given: AgentProfile) -> o.AgentShape:
    return o.AgentShape(
        id=given.name,
        request=o.RequestSettings(body=dict(given.options)),
        mode="all",
        hidden=False,
        permissions=tuple(
            o.RuleShape(rule.action, rule.resource, rule.effect) for rule in given.rules
        ),
        dovetail=given,
        model=model_ref(given.model),
        system=given.instructions or None,
        description=given.description or None,
        steps=given.steps,
    )


def model(given: ModelInfo) -> o.ModelShape:
    provider, _, name = given.name.partition("/")
    able = given.abilities
    costs: tuple[o.CostShape, ...] = ()
    if given.price is not None:
        costs = (
            _cost(given.price, None),
            *(_cost(one, o.Tier(one.over)) for one in given.price.above),
        )
    return o.ModelShape(
        id=name,
        providerID=provider,
        name=name,
        api=o.ModelApi(name),
        capabilities=o.Capabilities(
            tools=able is None or "tools" in able,
            input=("text", *(one for one in READS if one in (able or ()))),
            output=("text", *(one for one in READS if f"makes_{one}" in (able or ()))),
        ),
        request=o.ModelRequestShape(),
        time=o.Released(_milliseconds(given.released)),
        cost=costs,
        limit=o.Limit(given.context or 0, given.output or 0),
        dovetail=given,
        variants=tuple(map(o.VariantShape, EFFORTS))
        if "reasoning" in (able or ())
        else (),
        status="deprecated" if given.deprecated else "active",
    )


def _milliseconds(day: str | None) -> int:
    """Return when a day begins, or a month or a year; 0 for what is none."""
    if day is None:
        return 0
    year, month, first = (*day.split("-"), "01", "01")[:3]
    try:
        begun = datetime(int(year), int(month), int(first), tzinfo=UTC)
    except ValueError:
        return 0
    return int(begun.timestamp() * 1000)


def _cost(given: Price | PriceAbove, tier: o.Tier | None) -> o.CostShape:
    read = given.input if given.cache_read is None else given.cache_read
    write = given.input if given.cache_write is None else given.cache_write
    return o.CostShape(given.input, given.output, o.CacheCost(read, write), tier)


def provider(given: ProviderState) -> o.ProviderShape:
    return o.ProviderShape(
        id=given.name,
        name=given.name,
        disabled=given.missing is not None,
        api=o.Native(),
        request=o.RequestSettings(),
        dovetail=given,
    )


def skill(given: Skill) -> o.SkillShape:
    return o.SkillShape(
        name=given.name,
        location="" if given.directory is None else f"{given.directory}/SKILL.md",
        content=given.body,
        dovetail=given,
        description=given.description or None,
        slash=not given.offered or None,
    )


def command(given: PromptCommand) -> o.CommandShape:
    needs = (f"{one.name}=..." for one in given.arguments if one.required)
    return o.CommandShape(
        name=given.name,
        template=" ".join((f"/{given.name}", *needs)),
        arguments=tuple(
            o.ArgumentShape(one.name, one.description, one.required)
            for one in given.arguments
        ),
        description=given.description or None,
    )


# --- what waits for a person ------------------------------------------------------


def permission(given: PermissionRequest) -> s.PermissionShape:
    source = None
    if given.message_id is not None and given.call_id is not None:
        source = s.CallSource(given.message_id, given.call_id)
    return s.PermissionShape(
        id=given.id,
        sessionID=given.session_id,
        action=given.action,
        resources=given.resources,
        dovetail=given,
        save=given.save,
        metadata=dict(given.metadata),
        source=source,
    )


def saved(given: SavedApproval) -> s.SavedShape:
    return s.SavedShape(
        id=given.id,
        projectID="" if given.directory is None else project_of(given.directory),
        action=given.action,
        resource=given.pattern,
        dovetail=given,
    )


def questions(given: QuestionRequest) -> s.QuestionsShape:
    tool = None
    if given.message_id is not None and given.call_id is not None:
        tool = s.AskedCall(given.message_id, given.call_id)
    return s.QuestionsShape(
        id=given.id,
        sessionID=given.session_id,
        questions=tuple(
            s.QuestionShape(
                one.text,
                one.header,
                tuple(map(_option, one.options)),
                one.multiple,
                one.free,
            )
            for one in given.questions
        ),
        dovetail=given,
        tool=tool,
    )


def _option(given: QuestionOption) -> s.OptionShape:
    return s.OptionShape(given.label, given.description)


def answers(
    given: Sequence[Sequence[str]], asked: QuestionRequest | None
) -> list[QuestionAnswer]:
    """Return answers as they are given here: what is the label of an option chooses it,
    and anything else is one's own words."""
    made = []
    for number, said in enumerate(given):
        labels: set[str] = set()
        if asked is not None and number < len(asked.questions):
            labels = {one.label for one in asked.questions[number].options}
        words = [one for one in said if one not in labels]
        made.append(
            QuestionAnswer(
                tuple(one for one in said if one in labels),
                "\n".join(words) if words else None,
            )
        )
    return made


Headers = Mapping[str, str]
Order = Literal["asc", "desc"]
