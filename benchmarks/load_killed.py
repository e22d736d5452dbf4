"""A client of the load test with several long streams, for others to kill: bodies as JSON on stdin,
a line on stdout once every stream has begun. It never ends before the server does."""

import json
import socket
import sys


def _begun(port: int, body: dict[str, object]) -> socket.socket:
    """A connection on which an answer has begun."""
    data = json.dumps(body).encode()
    head = (
        "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(head.encode() + data)
    connection.recv(1)
    return connection


if __name__ == "__main__":
    connections = [_begun(int(sys.argv[1]), body) for body in json.load(sys.stdin)]
    print("begun", flush=True)
    while any(connection.recv(2**16) for connection in connections):
        pass
