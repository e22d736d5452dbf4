"""Trials side by side: a process for each, events as JSON lines, one journal between them.

A worker lives as long as its standard input is open, so none outlives the process that started it,
however that one ends.
"""

import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from pretune.api.searching import OutOfTime, Search, Trainer
from pretune.core.errors import PretuneError, TrainingError
from pretune.core.events import Event
from pretune.core.protocols import EventSink
from pretune.core.tether import tether

_INTERRUPTED = 130


def run_crew(
    folder: Path,
    devices: Sequence[str],
    halves: Sequence[int],
    deadline: float,
    sinks: Sequence[EventSink],
) -> None:
    """Let a worker on each of ``devices`` train trials of the search in ``folder`` until its budget
    is spent; ``halves`` are shared out among them.

    Raises:
        TrainingError: a worker failed; the others were asked to stop, and keep what they had.
        KeyboardInterrupt: Ctrl-C; every worker left a checkpoint.
    """
    heard: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    workers = []
    for place, device in enumerate(devices):
        asked = {
            "folder": str(folder),
            "device": device,
            "jobs": len(devices),
            "halves": halves[place :: len(devices)],
            "deadline": None if deadline == float("inf") else deadline,
        }
        workers.append(_start(asked, folder / "workers" / f"{place}.log", heard))
    interrupted, failure = False, None
    left = len(workers)
    while left:
        try:
            said = heard.get()
            if said is None:
                left -= 1
            elif "error" in said:
                failure = failure or said["error"]
                _stop(workers)
            else:
                event = Event(said["kind"], said["step"], said["values"])
                for sink in sinks:
                    sink.emit(event)
        except KeyboardInterrupt:
            interrupted = True
            _stop(workers)
    codes = [worker.wait() for worker in workers]
    for worker in workers:
        if worker.stdin is not None:
            worker.stdin.close()
    if interrupted:
        raise KeyboardInterrupt
    if failure is None and any(code not in (0, _INTERRUPTED) for code in codes):
        failure = f"a worker ended with code {next(c for c in codes if c)}"
    if failure is not None:
        raise TrainingError(
            f'{failure}; more in "{folder / "workers"}"; the same command goes on where it was'
        )


def _start(
    asked: dict[str, Any], log: Path, heard: "queue.SimpleQueue[dict[str, Any] | None]"
) -> "subprocess.Popen[str]":
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as errors:
        worker = subprocess.Popen(
            [sys.executable, "-m", "pretune.api.search_crew"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,  # Ctrl-C reaches this process alone, and it once tells them
        )
    assert worker.stdin is not None
    assert worker.stdout is not None
    with suppress(BrokenPipeError):
        worker.stdin.write(json.dumps(asked) + "\n")
        worker.stdin.flush()
    threading.Thread(target=_listen, args=(worker.stdout, heard), daemon=True).start()
    return worker


def _listen(said: IO[str], heard: "queue.SimpleQueue[dict[str, Any] | None]") -> None:
    with said:
        for line in said:
            with suppress(ValueError):  # what a library prints is no event
                value = json.loads(line)
                if isinstance(value, dict):
                    heard.put(value)
    heard.put(None)


def _stop(workers: Sequence["subprocess.Popen[str]"]) -> None:
    for worker in workers:
        with suppress(ProcessLookupError):
            worker.send_signal(signal.SIGINT)


class _Told:
    """Writes events to standard output."""

    def emit(self, event: Event) -> None:
        _say({"kind": event.kind, "step": event.step, "values": dict(event.values)})


def _say(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)


def _main() -> int:
    asked = json.loads(sys.stdin.readline())
    tether()
    deadline = float("inf") if asked["deadline"] is None else asked["deadline"]
    try:
        search = Search.read(Path(asked["folder"]), asked["device"], asked["jobs"])
        Trainer(search, [_Told()], deadline).run(asked["halves"])
    except OutOfTime:
        return 0
    except KeyboardInterrupt:
        return _INTERRUPTED
    except PretuneError as error:
        _say({"error": str(error)})
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(_main())
