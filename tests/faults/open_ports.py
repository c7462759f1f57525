"""Which listening sockets of a machine serve somebody who has no credential: each socket is tried."""

import re
from http.client import HTTPConnection, HTTPException
from typing import Any

PAGES = ("/", "/metrics", "/api/version", "/api/jobs/", "/nodes?view=summary", "/get_or_create_runtime_env")
"""Pages of the dashboard, of its agents and of the tracker; the last one is requested by POST."""
CALLS = (
    "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "/ray.rpc.InternalKVGcsService/InternalKVKeys",
    "/ray.rpc.JobInfoGcsService/GetAllJobInfo",
    "/ray.rpc.NodeManagerService/GetNodeStats",
    "/ray.rpc.NodeManagerService/GetSystemConfig",
    "/ray.rpc.ObjectManagerService/FreeObjects",
    "/ray.rpc.CoreWorkerService/GetCoreWorkerStats",
    "/ray.rpc.ReporterService/HealthCheck",
    "/ray.rpc.RayletDriver/ClusterInfo",
)
"""Remote calls, at least one of each of Ray's services."""
COMMAND = "ss -Hltnp"
"""Lists the listening sockets of a machine."""


def listening(listed: str) -> list[tuple[str, int, str]]:
    """Address, port and program of every socket in the output of `COMMAND`."""
    found = []
    for line in listed.splitlines():
        address, _, port = line.split()[3].rpartition(":")
        program = (re.findall(r'"([^"]+)"', line) or ["?"])[0]
        found.append((address.strip("[]").removeprefix("::ffff:"), int(port), program))
    return found


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches the address."""
    return address.startswith("127.") or address == "::1"


def pages_served(address: str, port: int) -> list[str]:
    """Pages that a socket serves without a credential, each with its status; empty where the socket speaks no HTTP."""
    served = []
    for page in PAGES:
        try:
            asking = HTTPConnection(address, port, timeout=5)
            asking.request("POST" if "runtime_env" in page else "GET", page)
            status = asking.getresponse().status
        except (OSError, HTTPException):
            continue
        if status not in (401, 403):
            served.append(f"{page} {status}")
    return served


def calls_answered(address: str, port: int, token: str = "") -> tuple[list[str], bool]:
    """Remote calls that a socket answers, and whether it refused any call for lack of the token."""
    import grpc

    answered, refused = [], False
    sent: Any = (("authorization", f"Bearer {token}"),) if token else ()
    with grpc.insecure_channel(f"{address}:{port}") as channel:
        for name in CALLS:
            try:
                channel.unary_unary(name)(b"", timeout=5, metadata=sent)
                answered.append(name)
            except grpc.RpcError as error:
                refused |= error.code() is grpc.StatusCode.UNAUTHENTICATED
    return answered, refused


def unprotected(address: str, listed: str, but: tuple[str, ...] = ()) -> tuple[list[str], int]:
    """What the machine at `address` serves without a credential, in words, and how many sockets asked for the token.

    `listed` is the machine's output of `COMMAND`; sockets of the programs in `but` are left out, and so are sockets
    that only the machine itself reaches.
    """
    found, asked = [], 0
    for place, port, program in listening(listed):
        if is_loopback(place) or program in but:
            continue
        pages, (answered, refused) = pages_served(address, port), calls_answered(address, port)
        asked += refused
        found += [f"{program} at {place}:{port} serves {one}" for one in (*pages, *answered)]
    return found, asked
