"""An answer: what a line that a person typed says to a question. Pure."""

import re

from dovetail.kernel import Question, QuestionAnswer


def read_answer(question: Question, line: str) -> QuestionAnswer | None:
    """Return what a typed line answers; None when it answers nothing that was asked.

    Numbers name options, and an empty line leaves the question open.
    """
    line = line.strip()
    if not line:
        return QuestionAnswer()
    numbers = [part for part in re.split(r"[\s,;]+", line) if part]
    labels = [option.label for option in question.options]
    if labels and all(part.isdecimal() for part in numbers):
        places = {int(part) for part in numbers}
        if max(places) > len(labels) or min(places) < 1:
            return None
        if len(places) > 1 and not question.multiple:
            return None
        return QuestionAnswer(tuple(labels[place - 1] for place in sorted(places)))
    if line in labels:
        return QuestionAnswer((line,))
    return QuestionAnswer(text=line) if question.free else None
