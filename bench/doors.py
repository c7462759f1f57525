"""Who is let in without a credential: the sockets of a machine, tried one by one."""

import re
from http.client import HTTPConnection, HTTPException
from typing import Any

PAGES = ("/", "/metrics", "/api/version", "/api/jobs/", "/nodes?view=summary", "/get_or_create_runtime_env")
"""Of the dashboard, its agents, the tracker; the last is asked by POST."""
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
"""Of Ray's services, one each at least."""
COMMAND = "ss -Hltnp"


def listening(said: str) -> list[tuple[str, int, str]]:
    """Address, port and program of every socket that `COMMAND` told of."""
    found = []
    for line in said.splitlines():
        address, _, port = line.split()[3].rpartition(":")
        program = (re.findall(r'"([^"]+)"', line) or ["?"])[0]
        found.append((address.strip("[]").removeprefix("::ffff:"), int(port), program))
    return found


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches it."""
    return address.startswith("127.") or address == "::1"


def pages_served(address: str, port: int) -> list[str]:
    """Pages that are not refused for want of a credential, where anything speaks HTTP at all."""
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
    """Remote calls that are answered, and whether any was refused for want of the token."""
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


def open_doors(address: str, said: str, but: tuple[str, ...] = ()) -> tuple[list[str], int]:
    """What lets anybody in who reaches the machine, in words, and how many sockets asked for the token; sockets of
    programs in `but` are left out."""
    found, asked = [], 0
    for place, port, program in listening(said):
        if is_loopback(place) or program in but:
            continue
        pages, (answered, refused) = pages_served(address, port), calls_answered(address, port)
        asked += refused
        found += [f"{program} at {place}:{port} serves {one}" for one in (*pages, *answered)]
    return found, asked
