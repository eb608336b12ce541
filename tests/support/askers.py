"""A plugin with tools that ask a person: for permission, and a question."""

from attrs import frozen
from dovetail.kernel import (
    Place,
    Question,
    QuestionOption,
    Register,
    Tool,
    ToolContext,
    hookimpl,
)


@frozen
class Nothing:
    """No arguments."""


class AskingTools:
    """Offers ``paint``, which needs permission, and ``colour``, which asks for one."""

    @hookimpl
    def dovetail_register_tools(self, place: Place, register: Register[Tool]) -> None:
        async def paint(given: Nothing, context: ToolContext) -> str:
            await context.ask("paint", ["fence"], save=["fence"])
            return "painted"

        async def colour(given: Nothing, context: ToolContext) -> str:
            options = (QuestionOption("red"), QuestionOption("blue", "as the sky"))
            [answer] = await context.question(
                [Question("Which colour?", "Colour", options)]
            )
            return f"chosen {list(answer.chosen)} said {answer.text}"

        for run in (paint, colour):
            register(
                Tool(
                    name=run.__name__,
                    description=f"{run.__name__} something",
                    input=Nothing,
                    execute=run,
                    effect="pure",
                )
            )
