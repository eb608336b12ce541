"""Errors: they carry facts, and no value breaks the message about it."""

import inspect
import re
from typing import Any, get_args

import pytest
from dovetail.kernel import (
    DovetailError,
    InvalidValueError,
    PermissionDeniedError,
    PermissionRejectedError,
    PromptConflictError,
    ProviderError,
    ProviderFault,
    ToolInputError,
    UndecodableError,
)
from dovetail.kernel.values import errors


def test_the_tree_has_one_root_and_every_class_says_when_it_is_raised() -> None:
    for name, one in vars(errors).items():
        if inspect.isclass(one) and issubclass(one, Exception):
            assert issubclass(one, DovetailError), name
            assert vars(one).get("__doc__"), name


def test_every_provider_fault_is_a_code_of_its_own_area() -> None:
    faults = get_args(ProviderFault)

    assert len(set(faults)) == len(faults)
    for fault in faults:
        assert re.fullmatch(r"provider\.[a-z_]+", fault)


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    "value",
    ["x" * 10_000_000, 10**5000, Unspeakable(), b"\xff" * 1000, "\ud800"],
    ids=["long", "huge", "unspeakable", "bytes", "surrogate"],
)
def test_no_value_breaks_the_message_about_it(value: Any) -> None:
    error = InvalidValueError("thing", value, "it must be small")

    assert len(str(error)) < 200
    str(error).encode()
    assert (error.what, error.rule) == ("thing", "it must be small")


def test_messages_name_the_thing_the_rule_and_the_next_step() -> None:
    conflict = PromptConflictError("ses_1", "key", ["prompt", "delivery"])
    assert conflict.differs == ("prompt", "delivery")
    assert "another prompt and another delivery" in str(conflict)
    assert UndecodableError("a prompt", ["$.a: x", "$.b: y"]).problems == (
        "$.a: x",
        "$.b: y",
    )
    assert "$.limit: too small" in str(ToolInputError("read", ["$.limit: too small"]))


def test_a_rejection_is_a_denial_with_advice() -> None:
    rejected = PermissionRejectedError("edit", ["a.py"], "ask Ann")

    assert isinstance(rejected, PermissionDeniedError)
    assert rejected.advice == "ask Ann"
    assert "ask Ann" in str(rejected)
    assert PermissionRejectedError("edit", ["a.py"]).advice is None


def test_a_provider_error_carries_its_fault_as_its_code() -> None:
    error = ProviderError(
        "provider.rate_limited", "openai", "slow down", status=429, retryable=True
    )

    assert error.code == "provider.rate_limited"
    assert "'openai' answered 429: slow down" in str(error)
    assert ProviderError.code == "provider.failed"


def test_any_exception_can_be_shown_as_a_code_and_a_message() -> None:
    assert errors.problem_of(DovetailError("x")) == {
        "code": "dovetail.error",
        "message": "x",
    }
    assert errors.problem_of(ValueError("x"))["code"] == "internal"
    assert errors.problem_of(ValueError()) == {
        "code": "internal",
        "message": "ValueError",
    }


def test_a_group_is_opened_to_its_depth_and_in_order() -> None:
    one, two, three = ValueError("1"), KeyError("2"), OSError("3")
    group = ExceptionGroup("", [ExceptionGroup("", [one, two]), three])

    assert list(errors.errors_in(group)) == [one, two, three]
    assert errors.first_of(group) is one
    # Several were raised, and none of them alone.
    assert errors.raised(group) is group
    assert errors.raised(ExceptionGroup("", [ExceptionGroup("", [two])])) is two
    assert errors.first_of(three) is three
