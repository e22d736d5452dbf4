"""A server for a while, and questions to it all at once: the demo's end, a gate's load."""

import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from pretune.core import tether
from pretune.core.errors import PretuneError
from pretune.core.termination import sigterm_unwinds

START_SECONDS = 120
"""What a server gets to load its base."""


_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""No proxy of the environment stands between a machine and itself."""


class Reply(NamedTuple):
    """What a task answered, and the seconds it took over HTTP."""

    task: str
    text: str
    seconds: float


@dataclass(frozen=True)
class Server:
    """A running server, asked as any client would ask it."""

    url: str
    pid: int

    def ask(self, questions: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Reply]:
        """Send every (task, row) at once; the replies come in the order of the questions."""
        with ThreadPoolExecutor(len(questions)) as threads:
            return list(threads.map(self._ask, *zip(*questions, strict=True)))

    def _ask(self, task: str, row: Mapping[str, Any]) -> Reply:
        started = time.perf_counter()
        body = json.dumps({"model": task, "fields": dict(row)}).encode()
        with self._open("/v1/chat/completions", body) as response:
            found = json.load(response)["choices"][0]["message"]["content"]
        return Reply(task, str(found), time.perf_counter() - started)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    def peak_memory(self) -> int | None:
        """Bytes of its resident set at the highest point; ``None`` where the system is silent."""
        try:
            lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
        except (OSError, StopIteration):
            return None

    def ready(self) -> bool:
        """Whether it takes requests yet."""
        try:
            with self._open("/ready"):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def _open(self, path: str, body: bytes | None = None) -> Any:
        headers = {"Content-Type": "application/json"}
        return _direct.open(urllib.request.Request(self.url + path, body, headers), timeout=60)


@contextmanager
def serving(runs: Sequence[Path]) -> Iterator[Server]:
    """``pretune serve RUNS`` on a free port of this machine, until the block ends: with or without
    an error, by a signal, or because this process is no more.

    Raises:
        PretuneError: it does not start; the message holds what it said.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    serve = ["pretune", "serve", *map(str, runs), "--port", str(port)]
    command = [sys.executable, "-m", tether.__name__, *serve]
    with (
        sigterm_unwinds(),
        # Not a pipe: nobody reads it, and one that is full would stop the server.
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, stdin=subprocess.PIPE, stderr=said) as process,
    ):
        try:
            server = Server(f"http://127.0.0.1:{port}", process.pid)
            _wait(server, process, said)
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _wait(server: Server, process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while not server.ready():
        if process.poll() is not None:
            said.seek(0)
            words = said.read().decode(errors="replace").strip()
            raise PretuneError(f"the server did not start: {words}")
        if time.monotonic() > end:
            raise PretuneError(
                f'the server was not ready after "{START_SECONDS}" seconds; try: pretune serve RUNS'
            )
        time.sleep(0.1)
