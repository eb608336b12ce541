"""Skill files: the files beside a skill, read as ``skill:NAME/FILE``.

Whoever may load a skill may read what it speaks of: the permission is that of the
skill, wherever its folder lies. What a rule denies stays denied, a key is still asked
about, and no name and no link leads out of the folder.
"""

import os
from collections.abc import Callable

from dovetail.kernel import (
    Action,
    RuleEffect,
    Skill,
    SkillNotFoundError,
    ToolContext,
    ToolFailure,
)

from ._paths import Target, failure, resolve, within

SKILL = "skill:"
"""What such a path begins with. A file whose name does is ``./skill:...``."""

LOAD = Action("skill", "text", "load a skill by its name")

Effect = Callable[[str, str], RuleEffect]
"""What the rules of the Location's own agent say of an action on a resource."""


async def skill_file(given: str, context: ToolContext, effect: Effect) -> Target:
    """Return the file of a skill that a path names, once it may be read.

    Raises:
        ToolFailure: there is no such skill or file, or it is not the skill's.
        PermissionDeniedError: the skill may not be loaded, or the file not be read.
    """
    name, _, below = given.removeprefix(SKILL).partition("/")
    await context.ask("skill", (name,), save=(name,))
    try:
        skill = await context.skill(name)
    except SkillNotFoundError as error:
        raise ToolFailure(f"cannot read {given!r}: {error}") from error
    target = await resolve(context.location, _path(skill, below, given), "read")
    # In the words of the path that was given: where the folder lies is not what a
    # person was asked about.
    await context.ask("read", (given,), save=(given,), begun=False)
    if effect("read", target.resource) == "deny":
        raise failure("read", given, "a rule denies to read it")
    return target


def _path(skill: Skill, below: str, given: str) -> str:
    """Return where a file of a skill is, looked for without leaving its folder."""
    if skill.directory is None:
        raise failure("read", given, "this skill is no folder, and has no files")
    parts = below.split("/")
    if not below or any(
        not one or one.startswith(".") or not one.isprintable() or "\\" in one
        for one in parts
    ):
        why = "name a file of the skill by its path below the skill's folder"
        raise failure("read", given, why)
    folder = os.path.realpath(skill.directory)
    path = os.path.join(folder, *parts)
    if not within(folder, os.path.realpath(path)):
        raise failure("read", given, "it leads out of the skill's folder")
    return path
