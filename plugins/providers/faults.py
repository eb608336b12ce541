"""Faults: what an answer that is no success means, and what may be said of it.

Owns the way from a status, headers and a body, or from an error object inside a
stream, to a ProviderError. Everything that is said passes a Redactor. Decides from
status and structured codes first; words of the text count only in the five places where
providers give nothing better: too much input, a refused part, a model that is not
there, no more credit, and xAI's bad key.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson
from dovetail.kernel import (
    ProviderError,
    ProviderFault,
    Redactor,
    ToolCall,
    clean_text,
)

from .reading import UnreadableError, objects_in, word, written

MAX_BODY_CHARS = 16_384
MAX_PROBLEM_CHARS = 2_000

# Compiled by the first failure: to do so takes as long as a small plugin takes to load.
_OVERFLOW = (
    r"(?s)prompt is too long"
    r"|request_too_large"
    r"|input is too long for requested model"
    r"|exceeds the context window"
    r"|context_length_exceeded"
    r"|input token count.{0,60}exceeds the maximum"
    r"|maximum prompt length is \d"
    r"|reduce the length of the messages"
    r"|maximum context length is [\d,]+"
    r"|exceeds the limit of [\d,]+"
    r"|exceeds the available context size"
    r"|greater than the context length"
    r"|context window exceeds limit"
    r"|exceeded model token limit"
    r"|too large for model with [\d,]+ maximum context length"
)
_THROTTLED = r"rate.?limit|too many requests|throttl|tokens per minute"
_NO_CREDIT = (
    r"insufficient_quota|exceeded your current quota|\bquota\b|billing"
    r"|credit balance|insufficient (?:balance|credits?|funds)|payment required"
)
_NO_MODEL = (
    r"\bmodel\b.{0,200}?(?:not found|n[o']t exist|not available|not supported|unknown)"
    r"|(?:unknown|no such|not find|not found:?)(?: the)? model\b"
)
"""What a 404 without a code says of a model: Cohere's, and that of small servers."""
_NO_KEY = r"incorrect api key provided"
"""How xAI says so, with a 400 and the code that it has for every 400."""
# A limit per minute is waited out, whatever word the provider has for it.
_PER_TIME = r"RetryInfo|PerMinute|per.minute"
_PART_REFUSED = (
    r"image|picture|vision|media.?type|mime|base64|multimodal|modalit|attachment"
    r"|document|\bpdf\b|\bfiles?\b|audio|video"
    r"|thinking|thought|signature|reasoning"
    r"|content.?(?:part|block|type)|unknown variant|input tag"
    r"|messages?\W{1,3}\d+\W{1,3}content|contents?[.\[]\d"
)
"""Words of a 4xx that blames something in the messages, rather than the request."""
_UNABLE = (
    r"(?:images?|audio|video|file|document|multimodal)\b.{0,40}"
    r"(?:not supported|unsupported|not support)|not support.{0,30}(?:image|audio|file)"
)
PLAIN = "error"
"""Stands for the code of an error that has none, and is one of the server's own."""
_CALL_REFUSED = frozenset(("tool_use_failed", "tool_call_validation_failed"))
_REFUSED_CODES = frozenset(
    (
        "content_filter",
        "content_policy_violation",
        "image_content_policy_violation",
        "ResponsibleAIPolicyViolation",
    )
)
_STATUS_OF_TYPE: Mapping[str, int] = {
    "invalid_request_error": 400,
    "invalid_request": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "billing_error": 402,
    "insufficient_quota": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "api_error": 500,
    "server_error": 500,
    "internal_server_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


_FAULT_OF_CODE: Mapping[str, ProviderFault] = {
    **dict.fromkeys(
        (
            "access_token_expired",
            "access_token_type_unsupported",
            "account_state_invalid",
            "api_key_expired",
            "api_key_invalid",
            "api_key_service_blocked",
            "authentication_error",
            "credentials_missing",
            "expiredtokenexception",
            "incompletesignature",
            "invalid_api_key",
            "invalid_authentication_error",
            "invalidapikey",
            "invalidsignatureexception",
            "missingauthenticationtoken",
            "unauthenticated",
            "unrecognizedclientexception",
        ),
        "provider.authentication",
    ),
    **dict.fromkeys(
        (
            "context_length_exceeded",
            "exceed_context_size_error",
            "model_context_window_exceeded",
            "request_too_large",
            "string_above_max_length",
        ),
        "provider.context_overflow",
    ),
    **dict.fromkeys(
        (
            "billing_error",
            "billing_hard_limit_reached",
            "billing_not_active",
            "exceeded_current_quota_error",
            "insufficient_credits",
            "insufficient_quota",
            "servicequotaexceededexception",
        ),
        "provider.quota",
    ),
    **dict.fromkeys(
        (
            "rate_limit_error",
            "rate_limit_exceeded",
            "rate_limit_reached_error",
            "throttlingexception",
            "too_many_requests",
            "toomanyrequestsexception",
        ),
        "provider.rate_limited",
    ),
    **dict.fromkeys(
        (
            "engine_overloaded_error",
            "modelnotreadyexception",
            "overloaded_error",
            "server_overloaded",
            "serviceunavailableexception",
            "unavailable",
        ),
        "provider.unavailable",
    ),
    **dict.fromkeys(
        (
            "deploymentnotfound",
            "model_decommissioned",
            "model_not_active",
            "model_not_available",
            "model_not_found",
            "resourcenotfoundexception",
        ),
        "provider.unknown_model",
    ),
}
"""What codes and types of errors mean, in small letters, whatever their status and
words: those of OpenAI, Anthropic, Azure, Amazon, Google, Groq, Moonshot and those who
offer the same."""


class CallRefusedError(Exception):
    """The provider read what the model wrote as a call, and would not have it.

    ``problem`` is its reason, ``written`` what the model wrote, as far as it was told.
    It stays among the providers: the kernel is handed ``call``, which fails.
    """

    def __init__(self, problem: str, written: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.written = written

    @classmethod
    def of(cls, found: "_ErrorObject", redact: Redactor) -> "CallRefusedError | None":
        """Return the error, or None where it is not about anything like a call."""
        about_call = _CALL_REFUSED.intersection(found.codes)
        if not about_call or not re.search(r"\{|<function", found.written):
            return None
        return cls(_problem_text(found.message, redact), redact.masked(found.written))

    def call(self, call_id: str) -> ToolCall:
        """Return the call that was refused."""
        name, arguments = _call_in(self.written)
        return ToolCall(call_id, name, arguments, refused=self.problem)


_NAMED = r"""<function=([\w.-]+)|"name"\s*:\s*"([^"\\]{1,64})\""""
_OBJECT = r"(?s)\{.*\}"


def _call_in(written: str) -> tuple[str, str]:
    """Return the name and the arguments of what was to be a call, as far as they can
    be seen. Nothing depends on it but what the model is told: it is never run."""
    named = re.search(_NAMED, written)
    name = (named[1] or named[2]) if named else "unnamed"
    found = re.search(_OBJECT, written)
    data = _parsed(found[0]) if found else None
    if isinstance(data, dict):
        for inner in ("arguments", "parameters"):
            if isinstance(data.get(inner), dict):
                return name, orjson.dumps(data[inner]).decode()
        if named is None or named[1]:
            return name, found[0] if found else ""
    return name, written


def fault_of_answer(
    provider: str,
    status: int,
    headers: Mapping[str, str],
    body: str,
    redact: Redactor,
    trouble: str | None = None,
) -> ProviderError | CallRefusedError:
    """Return the error for an answer that is not the stream that was asked for.

    ``trouble`` is why no key was shown, which a refusal for want of one must tell.

    ``body`` may be longer than is kept: a secret that the cut would halve must be seen
    whole first.
    """
    body = redact.masked(body)[:MAX_BODY_CHARS]
    found = _ErrorObject.of(_parsed(body))
    text = found.message if found else _plain(body)
    if 300 <= status < 400:
        text = "it answered with a redirect, which is not followed; check base_url"
    evidence = body if found else text
    if found and (refused := CallRefusedError.of(found, redact)):
        return refused
    codes = found.codes if found else ()
    # Amazon's is a name, and perhaps where it is declared.
    kind = headers.get("x-amzn-errortype", "").partition(":")[0].strip()
    fault = _fault(provider, status, evidence, (*codes, *([kind] if kind else ())))
    retryable = fault in ("provider.rate_limited", "provider.unavailable")
    advice = headers.get("x-should-retry", "").lower()
    if advice in ("true", "false"):
        retryable = advice == "true"
    told = _problem_text(text, redact) or "it gave no reason"
    if trouble is not None and fault == "provider.authentication":
        told = f"{told}; no key was sent: {trouble}"
    return ProviderError(
        fault,
        provider,
        told,
        status=status,
        retryable=retryable,
        retry_after=retry_after(headers, body),
    )


def fault_of_no_stream(
    provider: str, kind: str, body: str, redact: Redactor
) -> ProviderError | CallRefusedError:
    """Return the error for an answer that says 200 and is no event stream.

    Some servers put an error there; otherwise the address is likely another's.
    """
    body = redact.masked(body)[:MAX_BODY_CHARS]
    data = _parsed(body)
    if isinstance(data, list) and data:
        data = data[0]
    if isinstance(data, dict) and data.get("error"):
        return fault_in_stream(provider, data["error"], redact)
    text = _problem_text(_plain(body), redact)
    return ProviderError(
        "provider.invalid_output",
        provider,
        f"it sent {kind} instead of an event stream; check base_url: {text}",
        status=200,
    )


def fault_in_stream(
    provider: str, error: Any, redact: Redactor
) -> ProviderError | CallRefusedError:
    """Return the error for an error object that came inside a stream."""
    found = _ErrorObject.of({"error": error}) or _ErrorObject("it gave no reason")
    status = found.status
    if status is None:
        known = (_STATUS_OF_TYPE.get(code) for code in found.codes)
        status = next((one for one in known if one is not None), None)
    evidence = written(error)
    if refused := CallRefusedError.of(found, redact):
        return refused
    fault = _fault(provider, status or 0, evidence, found.codes)
    return ProviderError(
        fault,
        provider,
        _problem_text(found.message, redact),
        status=status,
        retryable=fault in ("provider.rate_limited", "provider.unavailable"),
        retry_after=_delay_in(evidence),
    )


def _says(evidence: str, words: str) -> bool:
    return re.search(words, evidence, re.IGNORECASE) is not None


def _fault(
    provider: str, status: int, evidence: str, codes: tuple[str, ...]
) -> ProviderFault:
    if _REFUSED_CODES.intersection(codes):
        return "provider.content_refused"
    if status in (401, 403):
        return "provider.authentication"
    if status == 402:
        return "provider.quota"
    for code in codes:
        known = _FAULT_OF_CODE.get(code.lower())
        if known is not None:
            return known
    if status == 429:
        # Only where no code says which of the two it is: that a message about too many
        # requests names the page for billing is no lack of credit.
        spent = _says(evidence, _NO_CREDIT) and not _says(evidence, _PER_TIME)
        return "provider.quota" if spent else "provider.rate_limited"
    # Cerebras refuses too much input without a word.
    wordless = status == 400 and not evidence and "cerebras" in provider.lower()
    if status == 413 or wordless:
        return "provider.context_overflow"
    too_long = _may_be_overflow(codes) and _says(evidence, _OVERFLOW)
    if too_long and not _says(evidence, _THROTTLED):
        return "provider.context_overflow"
    if status in (500, 501) and _says(evidence, _UNABLE):
        # llama.cpp and others say so as if they had broken.
        return "provider.part_refused"
    if status == 408 or status >= 500:
        return "provider.unavailable"
    if 400 <= status < 500:
        if status == 400 and _says(evidence, _NO_KEY):
            return "provider.authentication"
        # Anthropic says so with a 400.
        if "credit balance is too low" in evidence.lower():
            return "provider.quota"
        if status in _OF_PARTS and _says(evidence, _PART_REFUSED):
            return "provider.part_refused"
        unknown = status == 404 and (
            not _OF_ADDRESS.issuperset(codes) or _says(evidence, _NO_MODEL)
        )
        return "provider.unknown_model" if unknown else "provider.invalid_request"
    return "provider.failed"


def _may_be_overflow(codes: tuple[str, ...]) -> bool:
    """Whether words may say that there was too much input: no code says what else was
    wrong. Most providers have none for it, or the one that they have for everything."""
    return not any(one in _OF_OTHERS or "image" in one for one in codes)


# Those of OpenAI and who offers the same that are about one field or file.
_OF_OTHERS = frozenset(
    (
        "invalid_type",
        "invalid_value",
        "missing_required_parameter",
        "unknown_parameter",
        "unsupported_parameter",
        "unsupported_value",
    )
)
# What a 404 says of an address that is wrong, and not of a model. One that says nothing
# at all is of whoever happens to be at that address.
_OF_ADDRESS = frozenset(("invalid_request_error", "404"))
# 404 is OpenRouter's for "no endpoint takes images".
_OF_PARTS = frozenset((400, 404, 413, 415, 422))


def read_objects(provider: str, data: bytes) -> list[dict[str, Any]]:
    """Return the objects that an event holds; see ``reading.objects_in``.

    Raises:
        ProviderError: ``provider.invalid_output``: it is no JSON.
    """
    try:
        return objects_in(data)
    except UnreadableError as error:
        raise ProviderError("provider.invalid_output", provider, str(error)) from None


def ended_too_soon(provider: str, *, empty: bool) -> ProviderError:
    """Return the error for a stream that ended before its answer did; ``empty``: before
    anything of it came."""
    told = "the answer is empty" if empty else "the stream ended before the answer did"
    return ProviderError("provider.stream_broken", provider, told, retryable=True)


def has_error(error: Any) -> bool:
    """Whether an error field tells of an error: some are always there, and empty."""
    if isinstance(error, dict):
        return any(error.values())
    return bool(error)


def is_failure(chunk: Mapping[str, Any]) -> bool:
    """Whether an object that is no part of an answer is an error without its frame."""
    return bool(chunk.get("detail")) or bool(
        chunk.get("message") and (chunk.get("code") or chunk.get("status"))
    )


def retry_after(headers: Mapping[str, str], body: str = "") -> float | None:
    """Return the provider's own advice in seconds, or None."""
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after", "").strip()
    seconds = _number(value)
    if seconds is not None:
        return seconds
    when = _date(value)
    if when is not None:
        # The provider's own clock, when it tells it, is the one that it means.
        now = _date(headers.get("date", "")) or datetime.now(UTC)
        return max(0.0, (when - now).total_seconds())
    return _delay_in(body)


def _delay_in(body: str) -> float | None:
    """Gemini tells the delay in the body: ``"retryDelay": "34.07s"``."""
    match = re.search(r'"retryDelay"\s*:\s*"(\d{1,6}(?:\.\d+)?)s"', body)
    return float(match[1]) if match else None


def _number(text: str) -> float | None:
    found = re.fullmatch(r"\s*(\d{1,12}(?:\.\d{1,9})?)\s*", text)
    return float(found[1]) if found else None


def _date(text: str) -> datetime | None:
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


class _ErrorObject:
    """What providers put into an error, in one shape."""

    def __init__(
        self,
        message: str,
        codes: tuple[str, ...] = (),
        status: int | None = None,
        written: str = "",
    ) -> None:
        self.message = message
        self.codes = codes
        self.status = status
        self.written = written
        """What the model wrote, where that is what the error is about."""

    @classmethod
    def of(cls, data: Any) -> "_ErrorObject | None":
        """Return the error in a decoded body, or None when there is none to see."""
        if isinstance(data, list) and data:
            data = data[0]
        if not isinstance(data, dict):
            return None
        inner = data.get("error")
        if isinstance(inner, str):
            # Ollama's errors are words alone.
            return cls(inner, _codes(data) or (PLAIN,))
        if isinstance(inner, dict):
            data = inner
        errors = data.get("errors")
        if isinstance(errors, list) and errors and isinstance(errors[0], dict):
            data = errors[0]
        message = _first_text(data, "message", "error_message", "msg", "Message")
        if message is None:
            message = _detail(data.get("detail"))
        if message is None and inner is None:
            return None
        return cls(
            _with_cause(message or "it gave no reason", data),
            _codes(data),
            _status(data),
            word(data.get("failed_generation"))[:MAX_BODY_CHARS],
        )


def _first_text(data: Mapping[str, Any], *names: str) -> str | None:
    for name in names:
        if isinstance(data.get(name), str) and data[name].strip():
            return str(data[name])
    return None


def _detail(detail: Any) -> str | None:
    """FastAPI's servers: a text, or a list of what is wrong where."""
    if isinstance(detail, str):
        return detail
    if isinstance(detail, list):
        told = [one["msg"] for one in detail if isinstance(one, dict) and "msg" in one]
        return "; ".join(str(one) for one in told) or None
    return None


def _with_cause(message: str, data: Mapping[str, Any]) -> str:
    """OpenRouter says who failed, and in which words, beside its own message."""
    metadata = data.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    return f"{message}: {raw}" if isinstance(raw, str) and raw.strip() else message


def _codes(data: Mapping[str, Any]) -> tuple[str, ...]:
    named = [data.get("code"), data.get("type"), data.get("status")]
    inner = data.get("innererror")
    if isinstance(inner, dict):
        named.append(inner.get("code"))
    # Google's status says which kind, and the reason in its details which of them.
    details = data.get("details")
    for one in details if isinstance(details, list) else ():
        if isinstance(one, dict) and str(one.get("@type")).endswith(".ErrorInfo"):
            named.insert(0, one.get("reason"))
    return tuple(one for one in named if isinstance(one, str))


def _status(data: Mapping[str, Any]) -> int | None:
    for name in ("status_code", "code", "status"):
        value = data.get(name)
        if isinstance(value, str) and re.fullmatch(r"[45]\d\d", value):
            value = int(value)
        if isinstance(value, int) and 400 <= value < 600:
            return value
    return None


def _parsed(body: str) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _plain(body: str) -> str:
    """The words of a body that is no JSON, such as a proxy's HTML page."""
    if "<" in body:
        body = re.sub(r"<(script|style)\b.*?(</\1>|\Z)", " ", body, flags=re.S | re.I)
        body = re.sub(r"<[^<>]*>", " ", body)
    return " ".join(body.split())[:500]


def _problem_text(text: str, redact: Redactor) -> str:
    said = redact.masked(clean_text(text)).strip()
    if len(said) > MAX_PROBLEM_CHARS:
        return f"{said[: MAX_PROBLEM_CHARS - 3]}..."
    return said
