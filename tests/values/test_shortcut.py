"""The shortcut: whatever it makes of data, the codec would have made the same."""

import json
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest
from attrs import evolve, field, fields, frozen, validators
from dovetail.kernel import UndecodableError, from_json, kinds
from dovetail.kernel.ports import EventRecord, LeaseRow
from dovetail.kernel.values.events import ENVELOPE
from dovetail.kernel.values.shortcut import changed, copier, maker, shortcut
from hypothesis import given, settings, strategies as st

GOLDEN = [
    json.loads(path.read_text("utf-8"))
    for path in sorted((Path(__file__).parent / "golden").glob("*.json"))
]
NEWEST = [
    (golden["kind"], json.loads(golden["data"]))
    for golden in GOLDEN
    if kinds()[golden["kind"]].version == golden["version"]
]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "text", "steer", "file", "succeeded", "ä"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["text", "type", "name", "x"]), inner)
    ),
    max_leaves=6,
)


def both(kind: Any, data: dict[str, Any]) -> tuple[object, object]:
    """Return what the codec makes of data and what the shortcut does."""
    try:
        expected: object = from_json(json.loads(json.dumps(data)), kind)
    except UndecodableError:
        expected = "refused"
    try:
        found: object = shortcut(kind)(json.loads(json.dumps(data)))
    except Exception:
        found = "refused"
    return expected, found


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return every dict or list in a value with each of its keys."""
    found: list[tuple[Any, Any]] = []
    if isinstance(value, dict | list):
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        for key in keys:
            found += [(value, key), *places(value[key])]
    return found


@pytest.mark.parametrize(("kind", "data"), NEWEST, ids=[kind for kind, _ in NEWEST])
def test_right_data_takes_the_shortcut(kind: str, data: dict[str, Any]) -> None:
    declared = kinds()[kind]
    made = shortcut(declared, *ENVELOPE)(dict(data), "ses_1", 7, 9)
    whole = {**data, "session_id": "ses_1", "seq": 7, "created": 9}
    assert made == from_json(whole, declared)
    assert repr(made) == repr(from_json(whole, declared))


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_wrong_data_is_never_taken_and_right_data_means_the_same(
    data: st.DataObject,
) -> None:
    """Any value anywhere in an event is changed, removed or added."""
    kind, golden = data.draw(st.sampled_from(NEWEST))
    changed = {**json.loads(json.dumps(golden)), "session_id": "ses_1"}
    inside, key = data.draw(st.sampled_from(places(changed)))
    how = data.draw(st.sampled_from(["change", "remove", "add"]))
    if how == "change":
        inside[key] = data.draw(JSON)
    elif how == "remove":
        del inside[key]
    elif isinstance(inside, dict):
        inside[data.draw(st.sampled_from(["x", "text", "key"]))] = data.draw(JSON)
    else:
        inside.append(data.draw(JSON))
    expected, found = both(kinds()[kind], changed)
    if found != "refused":
        assert repr(found) == repr(expected)
        assert found == expected


class Colour(Enum):
    RED = "red"


@frozen
class Inner:
    number: int


@frozen
class Other:
    word: str
    type: Literal["other"] = "other"


@frozen
class Another:
    number: int
    type: Literal["another"] = "another"


@frozen
class Rare:
    """What events do not use, and might."""

    colour: Colour = Colour.RED
    pair: tuple[int, str] = (1, "a")
    inner: Inner | None = None
    each: Mapping[str, Inner] = field(factory=dict)
    several: tuple[Other | Another, ...] = ()
    either: Other | Another | None = None
    ratio: float = 1.0
    mixed: int | str | None = None
    numbers: list[int] = field(factory=list)
    anything: tuple[Any, ...] = ()
    _hidden: str = "h"


@frozen
class Converted:
    """Making it is more than filling its places."""

    names: tuple[str, ...] = field(converter=lambda names: tuple(sorted(names)))


@frozen
class Derived:
    number: int
    double: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "double", 2 * self.number)


@frozen
class Positive:
    number: int = field(validator=validators.gt(0))


@frozen(slots=False)
class Loose:
    number: int


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (Converted, {"names": ["b", "a"]}),
        (Derived, {"number": 2}),
        (Positive, {"number": 1}),
        (Positive, {"number": 0}),
        (Loose, {"number": 1}),
    ],
)
def test_what_a_class_does_when_it_is_made_is_done(
    kind: Any, data: dict[str, Any]
) -> None:
    expected, found = both(kind, data)
    assert expected == found
    assert repr(expected) == repr(found)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"colour": "red", "pair": [2, "b"], "inner": {"number": 3}},
        {"each": {"a": {"number": 1}}, "ratio": 2, "mixed": "x", "numbers": [1]},
        {"several": [{"type": "other", "word": "w"}, {"type": "another", "number": 1}]},
        {"either": {"type": "another", "number": 1}, "anything": [None, {"a": 1}]},
        {"_hidden": "seen"},
    ],
)
def test_what_it_does_not_know_it_leaves_to_the_codec(data: dict[str, Any]) -> None:
    expected, found = both(Rare, data)
    assert expected == found
    assert isinstance(found, Rare)
    assert repr(expected) == repr(found)


@pytest.mark.parametrize(
    "data",
    [
        {"colour": "blue"},
        {"pair": [2]},
        {"inner": {"number": True}},
        {"each": {"a": {}}},
        {"several": [{"type": "third"}]},
        {"several": {"type": "other", "word": "w"}},
        {"either": {"word": "w"}},
        {"ratio": "1"},
        {"mixed": 1.5},
        {"numbers": [True]},
        {"numbers": "12"},
        {"anything": {}},
        {"unknown": 1},
    ],
)
def test_what_the_codec_refuses_it_refuses(data: dict[str, Any]) -> None:
    assert both(Rare, data) == ("refused", "refused")


@pytest.mark.parametrize(
    "value", [Other("w"), Derived(2), Positive(1), Loose(3), Converted(("b", "a"))]
)
def test_a_copy_differs_in_what_is_changed_and_in_nothing_else(value: Any) -> None:
    name = fields(type(value))[0].name
    before = repr(value)
    same = getattr(value, name)
    assert copier(type(value), name)(value, same) == value
    other = {"word": "x", "number": 9, "names": ("a",)}[name]
    assert copier(type(value), name)(value, other) == evolve(value, **{name: other})
    assert changed(value, **{name: other}) == evolve(value, **{name: other})
    assert repr(value) == before


def test_what_is_changed_is_told_by_its_name_in_any_order() -> None:
    row = LeaseRow("s", "w", 1, 2)
    for _ in range(2):
        assert changed(row, renewals=9, fence=8) == LeaseRow("s", "w", 8, 9)
        assert changed(row, fence=8, renewals=9) == LeaseRow("s", "w", 8, 9)
        assert changed(row) == row
    with pytest.raises(TypeError):
        changed(row, hash=1)


# --- makers -----------------------------------------------------------------------


@frozen
class Mixed:
    """Fields of every kind that a maker writes a parameter for."""

    first: int
    named: str = field(kw_only=True)
    other: int = 2
    also: str | None = field(default=None, kw_only=True)


def test_a_maker_is_called_as_the_class_is() -> None:
    made = maker(Mixed)
    assert made is not Mixed
    for values, named in (((1,), {"named": "a"}), ((1, 3), {"named": "a", "also": ""})):
        assert made(*values, **named) == Mixed(*values, **named)
        assert type(made(*values, **named)) is Mixed
    for values, named in (((), {"named": "a"}), ((1,), {}), ((1, 2, "a"), {})):
        with pytest.raises(TypeError):
            made(*values, **named)


def test_what_a_maker_makes_is_frozen() -> None:
    made = maker(EventRecord)("ses_a", 0, "kind", 1, 2, b"{}", bytes(32))
    assert made == EventRecord("ses_a", 0, "kind", 1, 2, b"{}", bytes(32))
    with pytest.raises(AttributeError):
        made.seq = 1  # type: ignore[misc] # that is the point


@frozen
class Checked:
    """Does more than to keep its field."""

    value: int = field(validator=validators.ge(0))


@frozen
class Listed:
    """Makes its default anew for each value."""

    values: list[int] = field(factory=list)


@pytest.mark.parametrize("kind", [Checked, Listed])
def test_a_class_that_does_more_is_its_own_maker(kind: type) -> None:
    assert maker(kind) is kind
