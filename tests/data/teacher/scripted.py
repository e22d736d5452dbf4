"""An endpoint on loopback that plays what a test tells it."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Play = dict[str, Any]
"""``text`` to answer with, or ``status``, ``headers``, ``half``, ``drip``, ``raw``, ``finish``."""


class Scripted:
    """``play(body, number)`` says what the call with that number gets. A context."""

    def __init__(self, play: Callable[[dict[str, Any], int], Play]) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with lock:
                    owner.bodies.append(body)
                    owner.headers.append({k.lower(): v for k, v in self.headers.items()})
                    number = len(owner.bodies)
                _answer(self, play(body, number), body)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def __enter__(self) -> "Scripted":
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.server.shutdown()
        self.server.server_close()


def _answer(handler: BaseHTTPRequestHandler, play: Play, body: dict[str, Any]) -> None:
    if "sleep" in play:
        time.sleep(play["sleep"])
    prompt = sum(len(message["content"]) for message in body["messages"]) // 4
    text = play.get("text", "")
    completion = {
        "choices": [{"message": {"content": text}, "finish_reason": play.get("finish", "stop")}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": len(text) // 4 + 1},
    }
    data = play.get("raw", json.dumps(completion).encode())
    status = play.get("status", 200)
    try:
        handler.send_response(status)
        for name, value in play.get("headers", {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        if play.get("half"):
            handler.wfile.write(data[: len(data) // 2])
            handler.close_connection = True
        elif drip := play.get("drip"):
            for byte in data:
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
                time.sleep(drip)
        else:
            handler.wfile.write(data)
    except OSError:
        handler.close_connection = True  # the client went away


def message_of(body: dict[str, Any]) -> str:
    return str(body["messages"][1]["content"])
