"""Questions: what a call asks a person besides permission, and what the person says.

Owns the shapes and what makes one well-formed. Knows nothing of who waits for an
answer, nor of where it is kept.
"""

from .codec import clean_text
from .errors import InvalidValueError
from .frozen import frozen

MAX_QUESTIONS = 20
"""Questions that are asked at once."""
MAX_OPTIONS = 50
"""Options of one question."""
MAX_QUESTION = 8_192
"""Characters of one text of a question."""
MAX_WORDS = 65_536
"""Characters of an answer in one's own words."""


@frozen
class QuestionOption:
    """One of the answers to choose from."""

    label: str
    """What it is called, and what an answer names it by; unique in its question."""
    description: str = ""
    """What choosing it means."""


@frozen
class Question:
    """One question to a person."""

    text: str
    """The question, whole."""
    header: str = ""
    """A few words to tell it from others that are asked with it."""
    options: tuple[QuestionOption, ...] = ()
    """What to choose from."""
    multiple: bool = False
    """Whether several options may be chosen."""
    free: bool = True
    """Whether it may be answered in one's own words, instead of an option or, with
    ``multiple``, beside them."""


@frozen
class QuestionAnswer:
    """What a person says to one question. Nothing at all leaves it unanswered."""

    chosen: tuple[str, ...] = ()
    """The labels of the chosen options."""
    text: str | None = None
    """One's own words; None for none."""


def checked_questions(questions: object) -> tuple[Question, ...]:
    """Return questions as they are asked, with text that can be stored.

    Raises:
        InvalidValueError: there is none, there are too many, or one cannot be answered.
    """
    given = tuple(questions) if isinstance(questions, list | tuple) else ()
    if not 1 <= len(given) <= MAX_QUESTIONS:
        raise InvalidValueError(
            "questions", len(given), f"give a list of 1 to {MAX_QUESTIONS} questions"
        )
    return tuple(_checked(one) for one in given)


def _checked(question: object) -> Question:
    if not isinstance(question, Question):
        raise InvalidValueError("question", question, "give a Question")
    text = question.text.strip() if isinstance(question.text, str) else ""
    if not text:
        raise InvalidValueError("question", question.text, "its text must say what")
    if not isinstance(question.multiple, bool) or not isinstance(question.free, bool):
        raise InvalidValueError("question", text, "multiple and free are True or False")
    options = tuple(question.options)
    if not options and not question.free:
        raise InvalidValueError(
            "question", text, "without options it must take words of one's own"
        )
    if len(options) > MAX_OPTIONS:
        raise InvalidValueError("question", text, f"at most {MAX_OPTIONS} options")
    labels = [one.label.strip() for one in options]
    if not all(labels) or len({*labels}) != len(labels):
        raise InvalidValueError(
            "question", text, "each option has a label, and no other one the same"
        )
    if any(
        len(one) > MAX_QUESTION
        for one in (text, question.header, *labels, *(o.description for o in options))
    ):
        raise InvalidValueError(
            "question", text[:80], f"no text of more than {MAX_QUESTION} characters"
        )
    return Question(
        text=clean_text(text),
        header=clean_text(question.header.strip()),
        options=tuple(
            QuestionOption(clean_text(label), clean_text(one.description.strip()))
            for label, one in zip(labels, options, strict=True)
        ),
        multiple=question.multiple,
        free=question.free,
    )


def checked_answers(
    questions: tuple[Question, ...], answers: object
) -> tuple[QuestionAnswer, ...]:
    """Return the answers to questions, one each and in their order.

    Raises:
        InvalidValueError: one is missing, or does not answer its question.
    """
    given = tuple(answers) if isinstance(answers, list | tuple) else ()
    if len(given) != len(questions):
        raise InvalidValueError(
            "answers", len(given), f"give one for each of {len(questions)} questions"
        )
    return tuple(map(_answered, questions, given))


def _answered(question: Question, answer: object) -> QuestionAnswer:
    if not isinstance(answer, QuestionAnswer):
        raise InvalidValueError("answer", answer, "give a QuestionAnswer")
    labels = [one.label for one in question.options]
    chosen = tuple(label for label in labels if label in answer.chosen)
    unknown = [one for one in answer.chosen if one not in labels]
    if unknown:
        known = ", ".join(repr(label) for label in labels) or "there is none"
        raise InvalidValueError("answer", unknown[0], f"choose an option: {known}")
    text = (answer.text or "").strip()
    if text and not question.free:
        raise InvalidValueError("answer", text[:80], "choose one of the options")
    if len(text) > MAX_WORDS:
        raise InvalidValueError("answer", text[:80], f"at most {MAX_WORDS} characters")
    if not question.multiple and len(chosen) + bool(text) > 1:
        raise InvalidValueError("answer", chosen, "only one answer is asked for")
    return QuestionAnswer(chosen, clean_text(text) or None)
