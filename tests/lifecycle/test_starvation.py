"""What a thread waited for a processor is not charged to whoever ran in it."""

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from dovetail.kernel import HookLimits, hookimpl
from dovetail.kernel.lifecycle import starvation
from dovetail.kernel.lifecycle.clock import SystemClock
from dovetail.kernel.lifecycle.starvation import TOLD, WORTH, Starvation
from dovetail.kernel.plugins.loader import load_plugins
from dovetail.kernel.testing import ManualClock


def test_what_was_waited_in_a_call_is_told_and_never_more_than_the_call_took() -> None:
    waited = [7.0, 8.5, 9.0, 42.0]
    measured = Starvation(lambda: waited.pop(0))
    begun = measured.begin()
    assert begun == 7.0
    assert measured.lost(begun, 2.0) == 1.5
    assert measured.lost(begun, 1.0) == 1.0
    # Nobody is asked where it makes no difference.
    assert measured.lost(begun, WORTH / 2) == 0.0
    assert waited == [42.0]


def test_calls_that_follow_one_another_share_a_reading_but_not_with_other_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, asked = [100.0], list[int]()
    monkeypatch.setattr(starvation, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def waited() -> float:
        asked.append(threading.get_ident())
        return float(len(asked))

    measured = Starvation(waited)
    assert [measured.begin() for _ in range(3)] == [1.0, 1.0, 1.0]
    now[0] += 1
    assert measured.begin() == 2.0
    other = threading.Thread(target=measured.begin)
    other.start()
    other.join()
    assert len(asked) == 3
    assert measured.begin() == 4.0
    assert asked.count(threading.get_ident()) == 3


def test_a_reading_that_goes_back_gives_nothing() -> None:
    # A process that was forked begins to count anew.
    waited = [9.0, 1.0]
    measured = Starvation(lambda: waited.pop(0))
    assert measured.lost(measured.begin(), 5.0) == 0.0


@pytest.mark.parametrize("content", [b"", b"1", b"1 what 3", None])
def test_where_nothing_is_told_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    told = tmp_path / "told"
    if content is not None:
        told.write_bytes(content)
    monkeypatch.setattr(starvation, "TOLD", str(told))
    measured = Starvation()
    assert measured.lost(measured.begin(), 5.0) == 0.0


@pytest.mark.skipif(not Path(TOLD).exists(), reason="the system does not tell it")
def test_the_system_tells_seconds() -> None:
    processor, waited, _ = Path(TOLD).read_text().split()
    assert Starvation().begin() >= int(waited) / 1e9
    assert int(processor) > 0


# --- whom it matters to -----------------------------------------------------------


class SetClock(SystemClock):
    """The clock of a machine, whose seconds pass when a test says so."""

    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.mark.law("plugins.6")
@pytest.mark.parametrize(("waited", "charged"), [(1.75, 0.25), (0.0, 2.0), (9.0, 0.0)])
def test_a_plugin_is_charged_with_what_it_did_on_a_starved_machine(
    monkeypatch: pytest.MonkeyPatch, waited: float, charged: float
) -> None:
    clock, starved = SetClock(), [5.0]
    monkeypatch.setattr(starvation, "_waited", lambda: starved[0])

    class Lingering:
        name = "lingering"

        @hookimpl
        def dovetail_open_store(self, url: str) -> None:
            clock.seconds += 2
            starved[0] += waited

    plugins = load_plugins(
        [Lingering()], entry_points=False, environment={}, clock=clock
    )
    plugins.each("dovetail_open_store", url="none:")
    assert plugins.state("lingering").seconds == charged
    assert (charged > HookLimits().call_seconds) == (waited == 0)


def test_a_clock_that_is_set_by_hand_counts_as_it_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = ManualClock()
    starved = iter(range(0, 1000, 10))
    monkeypatch.setattr(starvation, "_waited", lambda: float(next(starved)))

    class Lingering:
        name = "lingering"

        @hookimpl
        def dovetail_open_store(self, url: str) -> None:
            clock.advance(2)

    plugins = load_plugins(
        [Lingering()], entry_points=False, environment={}, clock=clock
    )
    plugins.each("dovetail_open_store", url="none:")
    assert plugins.state("lingering").seconds == 2.0
