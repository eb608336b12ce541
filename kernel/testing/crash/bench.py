"""The bench: where scenarios are crashed, and what stays lying there.

Owns a folder: each crash test has a new one in it, which is removed when everything
held.
"""

import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from .driver import CrashReport, crash_storm, crash_test
from .scenario import CrashScenario
from .world import CrashWorld

Scenario = Callable[[CrashWorld], CrashScenario]


class CrashBench:
    """Crashes scenarios and keeps the files of those that did not hold."""

    def __init__(self, folder: Path, tell: Callable[[str], None]) -> None:
        self.folder = folder
        """Everything of the crash tests that did not hold, a folder for each."""
        self._tell = tell
        self._numbers = count(1)

    def test(self, scenario: Scenario, **options: Any) -> CrashReport:
        """Crash a scenario at every fault point. ``options``: as ``crash_test``.

        Raises: as ``crash_test``.
        """
        return self._crashed(crash_test, scenario, options)

    def storm(self, scenario: Scenario, **options: Any) -> CrashReport:
        """Crash a scenario at random instants. ``options``: as ``crash_storm``.

        Raises: as ``crash_storm``.
        """
        return self._crashed(crash_storm, scenario, options)

    def _crashed(
        self,
        crash: Callable[..., CrashReport],
        scenario: Scenario,
        options: dict[str, Any],
    ) -> CrashReport:
        place = self.folder / str(next(self._numbers))
        place.mkdir()
        report = crash(scenario, folder=place, **options)
        if report.sound:
            shutil.rmtree(place)
        else:
            self._tell(f"what {report.scenario} left is in {place}")
        return report
