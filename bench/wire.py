"""A proxy that does to answers of a server what wires and broken machines do."""

import re
import socket
import socketserver
import threading
from collections.abc import Callable


class Relay:
    """A proxy before the server that does something wrong once: `fault(request) -> reply or None` sees each reply."""

    def __init__(self, port: int, fault: Callable[[bytes, bytes], bytes | None]) -> None:
        self.port, self.fault, self.faults = port, fault, 0
        relay = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                while request := read_message(self.request):
                    try:
                        reply = relay.ask(request)
                    except OSError:  # the server is away, and the client finds its connection closed
                        return
                    wrong = relay.fault(request, reply)
                    if wrong is not None:
                        relay.faults += 1
                    self.request.sendall(reply if wrong is None else wrong)
                    return

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def ask(self, request: bytes) -> bytes:
        """What the server answers."""
        with socket.create_connection(("127.0.0.1", self.port)) as server:
            server.sendall(request.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nConnection: close\r\n", 1))
            return b"".join(iter(lambda: server.recv(1 << 16), b""))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"


def read_message(connection: socket.socket) -> bytes:
    """One HTTP request, head and body, answering an `Expect: 100-continue`."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(1 << 16)
        if not more:
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    if b"100-continue" in head.lower():
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.lower().startswith(b"expect:"))
    length = re.search(rb"content-length: *(\d+)", head.lower())
    while length and len(body) < int(length.group(1)):
        body += connection.recv(1 << 16)
    return head + b"\r\n\r\n" + body
