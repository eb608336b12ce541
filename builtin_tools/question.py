"""The tool ``question``: ask the person something only they can decide."""

import attrs
from attrs import frozen
from dovetail.kernel import (
    InvalidValueError,
    Question,
    QuestionAnswer,
    QuestionOption,
    Tool,
    ToolContext,
    ToolFailure,
)

from . import _fields as fields

DESCRIPTION = """\
Ask the person what only they can decide: a requirement that is missing, a choice with \
consequences, a preference. Ask everything that you need at once, with the options \
that you see, the one that you recommend first. They can always answer in their own \
words unless you say otherwise, and can leave a question open: then decide it \
yourself. Do not ask what you can find out, and not for permission to use a tool: that \
is asked by itself."""

MAX_QUESTIONS = 10
MAX_OPTIONS = 20
MAX_TEXT = 4_000


@frozen
class OptionInput:
    label: str = fields.text(
        "What the option is called, in a few words. Unique in its question.",
        min_length=1,
        max_length=200,
    )
    description: str = fields.text(
        "What choosing it means.", default="", max_length=MAX_TEXT
    )


@frozen
class QuestionInput:
    question: str = fields.text(
        "The whole question.", min_length=1, max_length=MAX_TEXT
    )
    header: str = fields.text(
        "Two or three words that name the subject.", default="", max_length=60
    )
    options: tuple[OptionInput, ...] = fields.several(
        "Answers to choose from; none for a question to be answered freely.",
        at_most=MAX_OPTIONS,
        default=(),
    )
    multiple: bool = fields.flag("Whether several options may be chosen.")
    custom: bool = attrs.field(
        default=True,
        metadata={
            "description": "Whether the person may answer in words of their own."
        },
    )


@frozen
class QuestionsInput:
    questions: tuple[QuestionInput, ...] = fields.several(
        "What to ask, all of it at once.", at_least=1, at_most=MAX_QUESTIONS
    )


@frozen
class Answered:
    """One question and what was said to it."""

    question: str
    chosen: tuple[str, ...]
    text: str | None


@frozen
class QuestionOutput:
    """What is recorded of an answer."""

    answers: tuple[Answered, ...]


def question_tool() -> Tool[QuestionsInput, QuestionOutput]:
    """Return the tool ``question``."""
    return Tool(
        name="question",
        description=DESCRIPTION,
        input=QuestionsInput,
        output=QuestionOutput,
        effect="pure",
        asks=(),
        execute=_execute,
        render=_render,
    )


async def _execute(input: QuestionsInput, context: ToolContext) -> QuestionOutput:
    asked = [
        Question(
            text=one.question,
            header=one.header,
            options=tuple(
                QuestionOption(option.label, option.description)
                for option in one.options
            ),
            multiple=one.multiple,
            free=one.custom,
        )
        for one in input.questions
    ]
    try:
        answers = await context.question(asked)
    except InvalidValueError as error:
        raise ToolFailure(f"this cannot be asked: {error}") from error
    return QuestionOutput(
        tuple(
            Answered(question.text, answer.chosen, answer.text)
            for question, answer in zip(asked, answers, strict=True)
        )
    )


def _render(output: QuestionOutput) -> str:
    return "\n\n".join(
        f"{one.question}\n{_answer_text(QuestionAnswer(one.chosen, one.text))}"
        for one in output.answers
    )


def _answer_text(answer: QuestionAnswer) -> str:
    lines = [f"- {label}" for label in answer.chosen]
    if answer.text is not None:
        lines.append(f"In their own words: {answer.text}")
    return "\n".join(lines) or "(left open: decide it yourself)"
