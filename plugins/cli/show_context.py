"""What ``show --context`` prints: what the model of a session is told of its world."""

from collections.abc import Iterator

from dovetail.kernel import ContextEpoch, to_json

from ..console.listing import when
from ..console.options import json_line, opened
from ..console.terminal import Style, Terminal, plain, visible
from .named import named_session


async def show_context(id: str, db: str | None, as_json: bool, to: Terminal) -> None:
    """Print the epochs of a session, with every word that its model was told."""
    async with opened(db) as runtime:
        session = await named_session(runtime, id)
        epochs = await session.context()
    first = 1
    for one in epochs:
        if as_json:
            to.write(json_line(to_json(one)))
        else:
            for line in _lines(one, first, to.style):
                to.write(f"{line}\n")
        first += len(one.steps)
    if not epochs and not as_json:
        to.write("The model was told nothing yet.\n")


def _lines(epoch: ContextEpoch, first: int, style: Style) -> Iterator[str]:
    """Yield the lines of an epoch, whose Steps are counted from ``first``."""
    number = {step: first + index for index, step in enumerate(epoch.steps)}
    last = first + len(epoch.steps) - 1
    steps = f"Steps {first} to {last}" if last > first else f"Step {first}"
    said = steps if epoch.steps else "no Step yet"
    heading = f"epoch at event {epoch.seq} ({visible(epoch.cause)}), {said}"
    yield style.strong(f"{heading}, {when(epoch.created)}")
    for one in epoch.unavailable:
        by = f" of plugin {one.plugin}" if one.plugin else ""
        since = f"since event {one.seq}, {when(one.created)}"
        if one.ended is not None:
            since += f", until event {one.ended}"
        told = f"{one.key}{by}, {since}: {one.reason}"
        yield style.dim(f"could not be observed: {visible(told)}")
    yield style.dim("baseline:")
    yield plain(epoch.baseline)
    if epoch.instructions:
        yield style.dim("instructions of the agent:")
        yield plain(epoch.instructions)
    for update in epoch.updates:
        step = update.step
        told = f"told from Step {number[step]} on" if step else "told no Step yet"
        keys = visible(", ".join(update.sources))
        yield style.dim(f"update at event {update.seq}, {told} ({keys}):")
        yield plain(update.text)
    yield ""
