"""A plugin for dovetail: what an agent needs to know to release a Python project."""

from collections.abc import Sequence

from anyio import to_thread
from dovetail.kernel import (
    ContextSource,
    ContextUnavailableError,
    Observation,
    Place,
    Register,
    Skill,
    SkillSource,
    hookimpl,
)

from .project import look
from .skills import read_skills

KEY = "releasing/project"


class ReleasingPlugin:
    """Offers one Context Source and one source of skills to every Location."""

    name = "releasing"
    requires_dovetail = ">=0.1,<0.2"

    @hookimpl
    def dovetail_register_context(
        self, register: Register[ContextSource], place: Place
    ) -> None:
        async def observe() -> Observation | None:
            try:
                project = await to_thread.run_sync(look, place.location.path)
            except OSError as error:
                # Perhaps it can be told later; until then nothing is said to be gone.
                raise ContextUnavailableError(KEY, str(error.strerror)) from error
            if project is None:
                return None
            told = "\n".join(f"- {line}" for line in project.lines())
            return Observation(
                f"The Python project in this directory:\n{told}",
                f"The Python project in this directory is now:\n{told}",
            )

        register(ContextSource(KEY, observe))

    @hookimpl
    def dovetail_register_skills(self, register: Register[SkillSource]) -> None:
        async def find() -> Sequence[Skill]:
            return await to_thread.run_sync(read_skills)

        register(SkillSource("releasing/skills", find))


plugin = ReleasingPlugin()
