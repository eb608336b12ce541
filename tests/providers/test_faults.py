"""What a refusal means, and that no secret is told."""

import base64
import html
import json
import re
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from dovetail.kernel import Redactor
from dovetail.plugins.providers.faults import (
    fault_of_answer,
    retry_after,
)
from hypothesis import given, strategies as st

KEY = "sk-proj-abcdefghijklmnop"


def fault(status: int, body: Any = "", **headers: str) -> Any:
    text = body if isinstance(body, str) else json.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return fault_of_answer("test", status, named, text, Redactor([KEY]))


@pytest.mark.parametrize(
    "text",
    [
        "prompt is too long: 210000 tokens > 200000 maximum",
        "Input is too long for requested model.",
        "Your input exceeds the context window of this model.",
        "The input token count (1196265) exceeds the maximum number of tokens allowed",
        "This model's maximum prompt length is 131072 but the request has 537812",
        "Please reduce the length of the messages or completion.",
        "This endpoint's maximum context length is 128,000 tokens.",
        "prompt token count of 140000 exceeds the limit of 128000",
        "the request exceeds the available context size, try increasing it",
        "The number of tokens to keep is greater than the context length",
        "invalid params, context window exceeds limit",
        "Your request exceeded model token limit: 131072",
        "Prompt is too large for model with 131072 maximum context length",
    ],
)
def test_too_much_input_is_recognised_in_every_providers_words(text: str) -> None:
    for status in (400, 422, 500):
        error = fault(status, {"error": {"message": text}})
        assert error.code == "provider.context_overflow"
        assert error.retryable is False
    # The same words about a rate are about a rate.
    slow = fault(429, {"error": {"message": f"rate limit: {text}"}})
    assert slow.code == "provider.rate_limited"
    slow = fault(400, {"error": {"message": f"Throttling: {text}"}})
    assert slow.code == "provider.invalid_request"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("invalid_image", "part_refused"),
        ("image_file_too_large", "part_refused"),
        ("image_content_policy_violation", "content_refused"),
        ("unsupported_parameter", "invalid_request"),
        ("model_not_found", "unknown_model"),
        ("server_overloaded", "unavailable"),
        # Those that say nothing of it leave it to the words.
        ("invalid_request_error", "context_overflow"),
        ("3051", "context_overflow"),
        ("exceed_context_size_error", "context_overflow"),
    ],
)
def test_words_of_too_much_input_count_only_where_no_code_says_what_it_is(
    code: str, expected: str
) -> None:
    text = "This model's maximum context length is 128,000 tokens."
    refused = fault(400, {"error": {"code": code, "message": text}})
    assert refused.code == f"provider.{expected}"


def test_codes_decide_before_words() -> None:
    body = {"error": {"code": "context_length_exceeded", "message": "no"}}
    assert fault(400, body).code == "provider.context_overflow"
    body = {"error": {"code": "content_filter", "message": "no"}}
    assert fault(400, body).code == "provider.content_refused"
    # A word alone never turns an outage into a refusal.
    assert fault(500, "our safety systems are down").code == "provider.unavailable"
    assert fault(429, "content policy").code == "provider.rate_limited"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"error": {"code": "insufficient_quota", "message": "x"}}, "quota"),
        ({"error": {"message": "You exceeded your current quota"}}, "quota"),
        ({"error": {"message": "Rate limit reached for gpt"}}, "rate_limited"),
        (
            [
                {
                    "error": {
                        "message": "You exceeded your current quota",
                        "details": [{"@type": "RetryInfo", "retryDelay": "34.07s"}],
                    }
                }
            ],
            "rate_limited",
        ),
    ],
)
def test_no_more_credit_is_told_from_too_fast(body: Any, code: str) -> None:
    assert fault(429, body).code == f"provider.{code}"


def test_anthropic_says_no_credit_with_a_400() -> None:
    body = {"error": {"message": "Your credit balance is too low to access the API."}}
    assert fault(400, body).code == "provider.quota"


def test_a_wordless_refusal_is_too_much_input_only_where_that_is_known() -> None:
    refused = fault_of_answer("cerebras", 400, {}, "", Redactor())
    assert refused.code == "provider.context_overflow"
    assert fault(413).code == "provider.context_overflow"
    assert fault(400).code == "provider.invalid_request"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "a"}}, "a"),
        ({"error": "a"}, "a"),
        ({"message": "a"}, "a"),
        ({"detail": "a"}, "a"),
        ({"detail": [{"msg": "a"}, {"msg": "b"}]}, "a; b"),
        ({"errors": [{"message": "a"}]}, "a"),
        ([{"error": {"message": "a"}}], "a"),
        ({"error": {"message": "a", "metadata": {"raw": "b"}}}, "a: b"),
        ("<html><style>x</style><h1>Bad</h1>\n<p>gateway</p></html>", "Bad gateway"),
        ("plain  text\n", "plain text"),
        ("", "it gave no reason"),
        ({}, "{}"),
        ([], "[]"),
        ("7", "7"),
        ({"error": None}, '{"error": null}'),
        ({"error": {}}, "it gave no reason"),
    ],
)
def test_the_message_is_found_in_every_shape(body: Any, said: str) -> None:
    assert fault(400, body).problem == said


def test_a_providers_advice_on_when_to_come_back_is_kept() -> None:
    assert retry_after({"retry-after-ms": "1500", "retry-after": "9"}) == 1.5
    assert retry_after({"retry-after": " 2.5 "}) == 2.5
    date = "Wed, 21 Oct 2026 07:28:30 GMT"
    now = "Wed, 21 Oct 2026 07:28:00 GMT"
    assert retry_after({"retry-after": date, "date": now}) == 30
    assert retry_after({"retry-after": now, "date": date}) == 0
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({"retry-after": "-1"}) is None
    assert retry_after({"retry-after": "inf"}) is None
    assert retry_after({}, '"retryDelay": "34.07s"') == 34.07
    assert fault(429, "", retry_after="7").retry_after == 7


def test_a_provider_may_say_itself_whether_to_retry() -> None:
    assert fault(500, "", x_should_retry="false").retryable is False
    assert fault(409, "", x_should_retry="true").retryable is True


@pytest.mark.law("access.6")
@pytest.mark.parametrize(
    "echo",
    [
        KEY,
        f"Bearer {KEY}",
        f"'{KEY}'",
        "sk-proj-ab*********mnop",
        "sk-pr**************nop.",
        "sk-proj-abcdef...",
        "sk-proj-abcdef..mnop",
        "'sk-proj-abcdef\u2026'",
        "sk%2Bkey%2F0123",
    ],
)
def test_every_echo_of_a_key_is_taken_out(echo: str) -> None:
    redact = Redactor([KEY, "sk+key/0123"])
    shown = redact.masked(f"Incorrect API key provided: {echo}. See our page.")
    for part in ("proj", "mnop", "nop", "key%", "%2F"):
        assert part not in shown
    assert shown.startswith("Incorrect API key provided: ")


def test_what_is_no_secret_stays() -> None:
    redact = Redactor([KEY, "abc"])
    assert redact.masked("**bold** abc a***b") == "**bold** abc a***b"
    assert Redactor().masked("anything **at** all") == "anything **at** all"


@pytest.mark.law("access.6")
@given(st.text(max_size=30), st.text(max_size=30), st.integers(0, 20_000))
def test_a_key_anywhere_in_a_body_is_not_told(a: str, b: str, pad: int) -> None:
    for body in (
        a + " " * (pad % 40) + KEY + b,
        "x" * pad + KEY,
        json.dumps({"error": {"message": "x" * pad + KEY + b}}),
    ):
        assert KEY[:8] not in str(fault(401, body))


@pytest.mark.law("access.6")
def test_a_key_is_taken_out_however_it_is_written() -> None:
    key = 'sk-"a/b\\c+é&1'
    redact = Redactor([key])
    forms = [
        key,
        quote(key, safe=""),
        re.sub("%..", lambda found: found[0].lower(), quote(key, safe="")),
        quote_plus(key),
        json.dumps(key),
        json.dumps(json.dumps(key)),
        repr(key),
        html.escape(key),
        base64.b64encode(key.encode()).decode(),
        base64.urlsafe_b64encode(key.encode()).decode(),
        key.encode().hex(),
    ]
    for form in forms:
        assert redact(f"x {form} y").count("[redacted]") == 1, form


BILLING = (
    "Rate limit reached for gpt-x in organization org-x on requests per day. "
    "Please add a payment method to increase it: https://x.example/account/billing. "
    "You exceeded your current quota."
)


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (429, {"code": "rate_limit_exceeded", "message": BILLING}, "rate_limited"),
        (429, {"type": "rate_limit_error", "message": BILLING}, "rate_limited"),
        (429, {"type": "insufficient_quota", "message": "too fast"}, "quota"),
        (429, {"type": "exceeded_current_quota_error", "message": "x"}, "quota"),
        (429, {"type": "engine_overloaded_error", "message": "x"}, "unavailable"),
        (400, {"code": "context_length_exceeded", "message": "x"}, "context_overflow"),
        (400, {"code": "model_decommissioned", "message": "x"}, "unknown_model"),
        (404, {"code": "model_not_found", "message": "x"}, "unknown_model"),
        (404, {"type": "not_found_error", "message": "model: x"}, "unknown_model"),
        (404, {"code": "DeploymentNotFound", "message": "x"}, "unknown_model"),
        (404, {"code": 404, "status": "NOT_FOUND", "message": "x"}, "unknown_model"),
        (404, "model 'x' not found", "unknown_model"),
        (
            404,
            {"type": "invalid_request_error", "message": "Invalid URL"},
            "invalid_request",
        ),
        (529, {"type": "overloaded_error", "message": BILLING}, "unavailable"),
        (
            503,
            {"code": 503, "status": "UNAVAILABLE", "message": BILLING},
            "unavailable",
        ),
        (500, {"type": "api_error", "message": "content policy"}, "unavailable"),
        (401, {"type": "insufficient_quota", "message": "x"}, "authentication"),
    ],
)
def test_a_code_says_what_it_is_whatever_the_words_are(
    status: int, error: Any, code: str
) -> None:
    assert fault(status, {"error": error}).code == f"provider.{code}"


@pytest.mark.parametrize(
    ("reason", "status", "code"),
    [
        ("API_KEY_INVALID", 400, "authentication"),
        ("API_KEY_EXPIRED", 400, "authentication"),
        ("RATE_LIMIT_EXCEEDED", 429, "rate_limited"),
        ("FIELD_INVALID", 400, "invalid_request"),
    ],
)
def test_google_says_in_the_details_why(reason: str, status: int, code: str) -> None:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}
    other = {"@type": "type.googleapis.com/google.rpc.Help", "links": []}
    error = {
        "code": status,
        "message": "no",
        "status": "INVALID_ARGUMENT",
        "details": [other, info, "odd"],
    }
    assert fault(status, {"error": error}).code == f"provider.{code}"
    assert fault(status, [{"error": error}]).code == f"provider.{code}"


def test_a_key_that_is_refused_with_a_400_is_a_key_that_is_refused() -> None:
    xai = {"code": "Client specified an invalid argument"}
    told = fault(400, xai | {"error": "Incorrect API key provided: sk***op."})
    assert told.code == "provider.authentication"
    amazon = {"x_amzn_errortype": "UnrecognizedClientException"}
    assert fault(400, {"message": "x"}, **amazon).code == "provider.authentication"


@pytest.mark.parametrize(
    "body",
    [
        {"id": "1", "message": "model 'm' not found, make sure the ID was correct"},
        {"detail": "The model `m` does not exist"},
        {"error": {"type": "invalid_request_error", "message": "Unknown model m"}},
        "no such model",
    ],
)
def test_a_404_without_a_code_may_name_a_model(body: Any) -> None:
    assert fault(404, body).code == "provider.unknown_model"
    assert fault(400, body).code == "provider.invalid_request"


def test_nobodys_404_is_about_the_address() -> None:
    assert fault(404, "<html>nginx</html>").code == "provider.invalid_request"
    assert fault(404, {"detail": "Not Found"}).code == "provider.invalid_request"


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("ThrottlingException:http://x.example/", 429, "rate_limited"),
        ("ResourceNotFoundException", 404, "unknown_model"),
        ("ServiceQuotaExceededException", 400, "quota"),
        ("ModelNotReadyException", 429, "unavailable"),
    ],
)
def test_amazon_names_its_errors_in_a_header(kind: str, status: int, code: str) -> None:
    found = fault_of_answer(
        "test", status, {"x-amzn-errortype": kind}, '{"message": "x"}', Redactor()
    )
    assert found.code == f"provider.{code}"  # type: ignore[union-attr]
