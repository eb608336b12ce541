"""How much memory a process holds, and held at most."""

import os
import resource
import sys
from pathlib import Path


def resident() -> int:
    """Return the bytes that this process holds now; where that is not told, at most."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return peak()
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak() -> int:
    """Return the bytes that this process held at most.

    On Linux by its own account: what is told of a child begins with its parent's.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        [line] = [one for one in lines if one.startswith("VmHWM:")]
    except (OSError, ValueError):
        # Linux counts in kilobytes, macOS in bytes.
        scale = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
    return int(line.split()[1]) * 1024
