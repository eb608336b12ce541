"""Durations on the command line: ``90``, ``90s``, ``10m``, ``1h30m``, ``2d``."""

import re

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")
MOST = 10**9
"""Seconds; more is a mistake, and no clock counts that far."""


class Duration(click.ParamType[float]):
    """A time in seconds, more than none."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return it in seconds."""
        text = str(value).strip().lower()
        if re.fullmatch(r"\d+(\.\d+)?", text):
            text += "s"
        seconds = 0.0
        if _WHOLE.fullmatch(text):
            seconds = sum(
                float(number) * _UNITS[unit] for number, unit in _PART.findall(text)
            )
        if not 0 < seconds <= MOST:
            self.fail(
                f"{str(value)!r} is no time such as 90s, 10m or 1h30m", param, ctx
            )
        return seconds


DURATION = Duration()
