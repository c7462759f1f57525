"""Servers that no tracker should be: late, endless, lying, full of redirects. Each answers on a loopback port."""

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field

HOUR = 3600
CHUNK = b"x" * 65536


@dataclass
class Hostile:
    """A server's address, the other server that it leads to, and what each was asked."""

    url: str
    other: str
    asked: list[bytes] = field(default_factory=list)
    asked_elsewhere: list[bytes] = field(default_factory=list)


Answer = Callable[[socket.socket, bytes, str], None]
"""Answers a request: the connection, the request, and the address of the other server."""


def plain(status: str, body: bytes = b"", *headers: str) -> Answer:
    """The same answer to everything."""

    def answer(connection: socket.socket, request: bytes, other: str) -> None:
        head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
        connection.sendall("\r\n".join(head).replace("OTHER", other).encode() + b"\r\n\r\n" + body)

    return answer


def packed_bomb(connection: socket.socket, request: bytes, other: str) -> None:
    """A short answer that unpacks to 256 MiB."""
    plain("200 OK", gzip.compress(bytes(2**28), 1), "Content-Encoding: gzip")(connection, request, other)


def endless(head: str, piece: bytes, pause: float = 0.0) -> Answer:
    """An answer that never ends."""

    def answer(connection: socket.socket, request: bytes, other: str) -> None:
        connection.sendall(head.encode())
        while True:
            connection.sendall(piece)
            time.sleep(pause)

    return answer


def silent(connection: socket.socket, request: bytes, other: str) -> None:
    """Not a word."""
    time.sleep(HOUR)


def cut_off(connection: socket.socket, request: bytes, other: str) -> None:
    """Ten bytes of a thousand."""
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"run": {}')


def reset(connection: socket.socket, request: bytes, other: str) -> None:
    """A connection that breaks."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


def tracker_whose_files_go(artifacts: str) -> Answer:
    """A tracker that takes every run and has its files sent elsewhere."""

    def answer(connection: socket.socket, request: bytes, other: str) -> None:
        place = artifacts.replace("OTHER", other)
        info = {"run_id": "1" * 32, "experiment_id": "1", "status": "RUNNING", "start_time": 1, "artifact_uri": place}
        parts = {"run": {"info": info, "data": {}}, "experiment": {"experiment_id": "1", "name": "n"}, "runs": []}
        plain("200 OK", json.dumps(parts).encode())(connection, request, other)

    return answer


OK = "HTTP/1.1 200 OK\r\n"
DEEP = b'{"run": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
KINDS: dict[str, Answer] = {
    "429 for an hour": plain("429 Too Many Requests", b"", f"Retry-After: {HOUR}"),
    "503 for an hour": plain("503 Service Unavailable", b"", f"Retry-After: {HOUR}"),
    "503 until a date": plain("503 Service Unavailable", b"", "Retry-After: Fri, 31 Dec 2100 23:59:59 GMT"),
    "a byte every second": endless(OK + "Content-Length: 1000000\r\n\r\n", b"x", 1.0),
    "a body without end": endless(OK + "\r\n", CHUNK, 0.01),
    "chunks without end": endless(OK + "Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + CHUNK + b"\r\n", 0.01),
    "headers without end": endless(OK, b"X-Header: " + b"x" * 100 + b"\r\n", 0.01),
    "continue without end": endless("", b"HTTP/1.1 100 Continue\r\n\r\n", 0.01),
    "a packed bomb": packed_bomb,
    "a redirect elsewhere": plain("307 Temporary Redirect", b"", "Location: OTHER/"),
    "a redirect in a circle": plain("302 Found", b"", "Location: /"),
    "no HTTP": plain("", b"\x00\xff" * 1000),
    "silence": silent,
    "a page": plain("200 OK", b"<html>welcome</html>", "Content-Type: text/html"),
    "a list": plain("200 OK", b"[1, 2, 3]"),
    "deep JSON": plain("200 OK", DEEP),
    "a body that is cut off": cut_off,
    "a connection that breaks": reset,
    "who are you": plain("401 Unauthorized", b"\x1b[31mno\x1b[0m" * 1000),
    "500 with a long line": plain("500 Oops", b"\x1b]0;title\x07" + b"y" * 10_000_000),
    "files to another server": tracker_whose_files_go("OTHER/files"),
    "files to another server's proxy": tracker_whose_files_go("mlflow-artifacts://OTHER"),
}


def _serve(answer: Answer, asked: list[bytes], other: str) -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0))

    def one(connection: socket.socket) -> None:
        with closing(connection), suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request:
                piece = connection.recv(65536)
                if not piece:
                    return
                request += piece
            asked.append(request)
            answer(connection, request, other)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener


@contextmanager
def hostile_tracker(kind: str) -> Iterator[Hostile]:
    """A server of that kind, and the server that it may lead to."""
    found = Hostile(url="", other="")
    with closing(_serve(plain("200 OK", b"{}"), found.asked_elsewhere, "")) as second:
        found.other = f"http://127.0.0.1:{second.getsockname()[1]}"
        with closing(_serve(KINDS[kind], found.asked, found.other)) as first:
            found.url = f"http://127.0.0.1:{first.getsockname()[1]}"
            yield found
