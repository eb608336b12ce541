"""The tool ``skill``: load the instructions of a skill by its name."""

from attrs import frozen
from dovetail.kernel import SkillNotFoundError, Tool, ToolContext, ToolFailure

from . import _fields as fields
from ._skill_files import LOAD, SKILL

DESCRIPTION = """\
Load a skill: instructions for a kind of task, with the folder its files are in. The \
skills that exist are listed in the system text; load one as soon as it fits the \
task."""

_SAMPLED = 10


@frozen
class SkillInput:
    name: str = fields.text("The name of the skill, as it is listed.", min_length=1)


@frozen
class SkillOutput:
    """What is recorded of a skill beside what the model is shown."""

    name: str
    directory: str | None
    """Where its files are; None for a skill that is not a folder."""
    files: tuple[str, ...]
    """Up to ten of them, relative to ``directory``."""


@frozen
class LoadedSkill(SkillOutput):
    """The whole result. What is shown is recorded as content, so not once more here."""

    body: str
    compatibility: str | None = None


def skill_tool() -> Tool[SkillInput, SkillOutput]:
    """Return the tool ``skill``."""
    return Tool(
        name="skill",
        description=DESCRIPTION,
        input=SkillInput,
        output=SkillOutput,
        effect="pure",
        asks=(LOAD,),
        execute=_execute,
        render=_render,
        bound="end",
    )


async def _execute(input: SkillInput, context: ToolContext) -> LoadedSkill:
    await context.ask("skill", (input.name,), save=(input.name,))
    try:
        skill = await context.skill(input.name)
    except SkillNotFoundError as error:
        raise ToolFailure(f"cannot load skill {input.name!r}: {error}") from error
    return LoadedSkill(
        skill.name,
        skill.directory,
        tuple(skill.files[:_SAMPLED]),
        skill.body,
        skill.compatibility,
    )


def _render(output: SkillOutput) -> str:
    assert isinstance(output, LoadedSkill)
    parts = [f"# Skill: {output.name}", output.body.strip("\n")]
    if output.compatibility is not None:
        parts.append(f"What it needs: {output.compatibility}")
    if output.directory is not None:
        lines = [f"Base directory of this skill: {output.directory}"]
        lines.append("Relative paths in it start there.")
        if output.files:
            lines.append("Some of its files:")
            lines += [f"- {name}" for name in output.files]
            lines.append(f'Read one of them with path="{SKILL}{output.name}/FILE".')
        parts.append("\n".join(lines))
    return "\n\n".join(parts)
