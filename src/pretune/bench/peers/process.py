"""A peer under way: a program that is asked line by line, and the folders it reads."""

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pretune.adapters.peft_format import export_peft
from pretune.bench.race import Times
from pretune.bench.stand import Stand
from pretune.core.errors import PretuneError
from pretune.core.scope import Scope

SCRIPTS = Path(__file__).parent


class Peer:
    """Asks one peer; one question at a time."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process, self._log = process, log

    def run(self, prompts: Sequence[Sequence[int]], tasks: Sequence[int | None], new: int) -> Times:
        """One batch of ``prompts``; ``tasks`` says which adapter each has."""
        told = self.ask({"prompts": prompts, "tasks": tasks, "new": new})
        return Times(told["prefill"], told["steps"], firsts=told["firsts"])

    def ask(self, line: Mapping[str, Any]) -> dict[str, Any]:
        """Send a line, wait for the answer.

        Raises:
            PretuneError: the peer ended; with the end of what it printed.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(json.dumps(line) + "\n")
            stdin.flush()
            told = stdout.readline()
        except BrokenPipeError:
            told = ""
        if not told:
            lines = self._log.read_text(errors="replace").strip().splitlines()
            raise PretuneError(f"the peer ended by itself: {' | '.join(lines[-3:])[:500]}")
        return dict(json.loads(told))


@contextmanager
def started(
    command: Sequence[str], settings: Mapping[str, Any], environment: Mapping[str, str]
) -> Iterator[Peer]:
    """A peer that has read its ``settings`` and is ready.

    Raises:
        PretuneError: it could not start.
    """
    with tempfile.TemporaryDirectory(prefix="pretune-peer-") as folder:
        log = Path(folder) / "log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=dict(environment),
            )
        with process:
            try:
                peer = Peer(process, log)
                peer.ask(settings)
                yield peer
            finally:
                process.kill()


@contextmanager
def exported(stand: Stand, adapters: int) -> Iterator[dict[str, Any]]:
    """Base and adapters of ``stand`` on disk, as peers read them, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="pretune-peer-") as folder:
        base = Path(folder) / "base"
        # Copies: an engine may have made the weights views of one another's memory.
        weights = {name: value.clone() for name, value in stand.base.model.state_dict().items()}
        stand.base.model.save_pretrained(base, state_dict=weights)
        own = [
            export_peft(stand.load(f"{Scope.ALL}-{i}"), stand.base, Path(folder) / str(i))
            for i in range(adapters)
        ]
        yield {"base": str(base), "adapters": [str(path) for path in own]}
