"""A proxy in front of an S3 server that damages the server's replies, as cables and failing machines do."""

import re
import socket
import socketserver
import threading
from collections.abc import Callable

Fault = Callable[[bytes, bytes], bytes | None]
"""`fault(request, reply)`: the damaged reply, or None to pass the server's reply on as it is."""


def no_fault(request: bytes, reply: bytes) -> None:
    """Damage nothing."""


class FaultyProxy:
    """Passes each request to the server at `port` of the loopback address, and lets `fault` damage the reply.

    `faults` counts the damaged replies. One connection carries one request.
    """

    def __init__(self, port: int, fault: Fault = no_fault) -> None:
        self.port, self.fault, self.faults = port, fault, 0
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                request = read_request(self.request)
                if not request:
                    return
                try:
                    reply = proxy.ask(request)
                except OSError:  # the server is down, and the client finds its connection closed
                    return
                damaged = proxy.fault(request, reply)
                if damaged is not None:
                    proxy.faults += 1
                self.request.sendall(reply if damaged is None else damaged)

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def ask(self, request: bytes) -> bytes:
        """The server's whole reply to a request."""
        with socket.create_connection(("127.0.0.1", self.port)) as server:
            server.sendall(request.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nConnection: close\r\n", 1))
            return b"".join(iter(lambda: server.recv(1 << 16), b""))

    @property
    def url(self) -> str:
        """Address of the proxy, for `AWS_ENDPOINT_URL`."""
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        """Stop listening."""
        self.server.shutdown()
        self.server.server_close()


def read_request(connection: socket.socket) -> bytes:
    """One HTTP request, head and body; an `Expect: 100-continue` is answered here and removed. Empty: no request."""
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
