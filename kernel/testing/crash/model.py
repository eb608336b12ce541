"""The model of a crash scenario: a script that a crash does not confuse.

Owns which answer comes next. A killed process takes its memory along, so the place in
the script is read from the history of each request: the model says what it has not yet
said there, as a real one would.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from attrs import frozen

from ...contracts import Place, Provider, ProviderRoute, Register
from ...hookspecs import hookimpl
from ...values.messages import AssistantMessage
from ...values.request import ModelEvent, ModelInfo, ModelRequest
from ..scripted import Answer, Beat, text
from .world import CrashWorld

MODEL = "crash/model"
DONE = "Done."


@frozen
class Attempts:
    """An answer that fails at first: what each Physical Attempt brings, in turn.

    The last one counts for every further attempt.
    """

    answers: Sequence[Answer]
    """One for each attempt."""


Script = Sequence[Answer | Attempts]


class CrashModel(ProviderRoute):
    """A plugin with the provider ``crash``, whose model ``crash/model`` plays a script.

    A session gets its own script where ``scripts`` is a mapping by session id. After
    the script the model says that it is done, as often as it is asked.
    """

    name = "crash"

    def __init__(self, scripts: Script | Mapping[str, Script], world: CrashWorld):
        self._scripts = scripts
        self._world = world

    @hookimpl
    def dovetail_register_providers(
        self, register: Register[Provider], place: Place
    ) -> None:
        register(
            Provider(name=self.name, route=lambda _: self, models=(ModelInfo(MODEL),))
        )

    @asynccontextmanager
    async def stream(
        self, request: ModelRequest
    ) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        beats = self._beats(request)
        if beats and isinstance(beats[0], Exception):
            raise beats[0]
        yield _Played(beats)

    def _beats(self, request: ModelRequest) -> Sequence[Beat]:
        messages = request.history.messages
        session_id = messages[-1].session_id
        scripts = self._scripts
        script = (
            scripts.get(session_id, ()) if isinstance(scripts, Mapping) else scripts
        )
        place = sum(map(_is_answer, messages))
        answer = script[place] if place < len(script) else text(DONE)
        if isinstance(answer, Attempts):
            attempts = [
                one
                for one in self._world.noted("attempt")
                if (one["session"], one["place"]) == (session_id, place)
            ]
            self._world.note("attempt", session=session_id, place=place)
            answer = answer.answers[min(len(attempts), len(answer.answers) - 1)]
        return answer(request) if callable(answer) else answer


def _is_answer(message: object) -> bool:
    """Whether a message is an answer of the script: whole, or with calls.

    What was cut off before it called anything is said again.
    """
    return isinstance(message, AssistantMessage) and (
        message.failure is None or bool(message.calls)
    )


class _Played(AsyncIterator[ModelEvent]):
    def __init__(self, beats: Sequence[Beat]) -> None:
        self._beats = iter(beats)

    async def __anext__(self) -> ModelEvent:
        for beat in self._beats:
            if isinstance(beat, Exception):
                raise beat
            assert not hasattr(beat, "pass_through"), "gates do not outlive a process"
            return beat
        raise StopAsyncIteration
