"""The inbox, as a person sees it: what was said and the model has not seen.

Owns what is kept of each input until the model sees it or it is taken back. Knows
nothing of how it is drawn.
"""

from collections import OrderedDict
from collections.abc import Sequence

from attrs import define
from dovetail.kernel import (
    Input,
    Prompt,
    PromptAdmitted,
    PromptRedelivered,
    UserMessage,
)


@define(eq=False)
class Pending:
    """Input that the model has not seen."""

    id: str
    prompt: Prompt
    delivery: str
    said: bool
    """Whether a person said it, and may take it back."""

    @property
    def told(self) -> str:
        """How it waits, in words."""
        return "queued" if self.delivery == "queue" else "waits for the next Step"


class Inbox:
    """What waits in one session."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, Pending] = OrderedDict()

    @property
    def waiting(self) -> Sequence[Pending]:
        """All that waits, the oldest first."""
        return list(self._waiting.values())

    def get(self, input_id: str) -> Pending | None:
        """Return one that waits."""
        return self._waiting.get(input_id)

    def admit(self, event: PromptAdmitted) -> Pending:
        """Take what was said."""
        return self._add(
            event.input_id, event.prompt, event.delivery, said=event.job_id is None
        )

    def knows(self, message: UserMessage) -> None:
        """Take what was said from a message, where the event that has it is not read;
        the one that has it seen by the model is, and shows it."""
        prompt = Prompt(message.text, message.files)
        self._add(message.id, prompt, "steer", said=message.job_id is None)

    def waits(self, one: Input) -> None:
        """Take what waits, where the event that admitted it is not read."""
        self._add(one.id, one.prompt, one.delivery, said=one.job_id is None)

    def redeliver(self, event: PromptRedelivered) -> None:
        """Take that one waits for something else."""
        if event.input_id in self._waiting:
            self._waiting[event.input_id].delivery = event.delivery

    def take(self, input_id: str) -> Pending | None:
        """Return one that waits no more; None where nothing is known of it."""
        return self._waiting.pop(input_id, None)

    def _add(
        self, input_id: str, prompt: Prompt, delivery: str, *, said: bool
    ) -> Pending:
        one = self._waiting[input_id] = Pending(input_id, prompt, delivery, said)
        return one
