"""The source ``core/caller``: what the caller said that the session is to keep to."""

from dovetail.kernel import Observation, SessionSource, SessionView


def caller_source() -> SessionSource:
    """Return the source that tells each session's own instructions."""

    async def observe(view: SessionView) -> Observation:
        said = view.instructions or ""
        return Observation(
            f"Instructions of the caller for this session:\n\n{said}" if said else "",
            f"The instructions of the caller are now:\n\n{said}",
            removal="The instructions of the caller no longer apply.",
            holds=lambda now: now.instructions == view.instructions,
        )

    return SessionSource("core/caller", observe)
