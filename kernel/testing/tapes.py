"""Tapes, for whoever tests an adapter: the names of ``dovetail.kernel.tape``."""

from ..tape.lines import (
    Interaction as Interaction,
    TapedAnswer as TapedAnswer,
    TapedRequest as TapedRequest,
)
from ..tape.reel import TapeMode as TapeMode
from ..tape.tape import Tape as Tape, open_tape as open_tape
