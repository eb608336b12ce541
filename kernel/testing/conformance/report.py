"""Reports: what a suite found, as values.

Owns findings and the error that carries them. Knows nothing of how they are found.
"""

from collections.abc import Mapping

from attrs import field, frozen


@frozen
class Finding:
    """One promise that was not kept."""

    code: str
    """The check, such as ``tool.cancellation``. Stable: safe to compare with."""
    problem: str
    """What was seen, in words. Not stable."""
    backend: str = "asyncio"
    """The event loop that it was seen on."""

    def __str__(self) -> str:
        return f"{self.code}: {self.problem}"


@frozen
class Report:
    """What became of one suite."""

    suite: str
    """The kind of what was checked: ``tool``, ``provider`` and so on."""
    version: int
    """The version of the suite."""
    checked: tuple[str, ...] = ()
    """The codes of the checks that were tried, in order. Where the plugin does not
    offer what is to be checked, only its definition is."""
    findings: tuple[Finding, ...] = ()
    """What does not conform, in the order of the checks."""
    exempted: Mapping[str, str] = field(factory=dict)
    """The codes that the suite leaves out, and why."""

    @property
    def conforms(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of what was found, sorted, each once."""
        return tuple(sorted({one.code for one in self.findings}))

    def require(self) -> None:
        """Do nothing when nothing was found.

        Raises:
            NonconformingError: something was found.
        """
        if self.findings:
            raise NonconformingError(self)


class NonconformingError(AssertionError):
    """A plugin does not keep a promise; ``report`` says which, and what was seen."""

    def __init__(self, report: Report) -> None:
        lines = [f"{len(report.findings)} findings, suite version {report.version}:"]
        lines += [f"  {one}" for one in report.findings]
        super().__init__("\n".join(lines))
        self.report = report
