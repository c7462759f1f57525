"""An MLflow server on the loopback address, behind a password: for the head of a cluster, for tests, for one machine.

`make tracker` starts one and says which variables to set. It ends with the process that started it, unless that was
told to leave it running: the head of a cluster starts it so, and a second start finds the first one.
"""

import argparse
import configparser
import os
import secrets
import signal
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from aman.errors import UsageError, UserError
from aman.files import write_whole
from cluster.machines.server import Process, start_server, stop_server

LOOPBACK = "127.0.0.1"
PORT = 5000
SECONDS_TO_START = 90
"""Twelve on a quiet machine; the first start makes the tables."""
ADMIN = "admin"
CREDENTIALS, SECRET, SETTINGS, LOG = "credentials", "flask_secret", "auth.ini", "server.log"
"""Files in the server's folder. The first is written as MLflow's own client reads it from ~/.mlflow/credentials."""
BACKEND = "MLFLOW_BACKEND_STORE_URI"
"""Variable with the database's URI, for one that holds a password: command lines are seen by everybody."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the server is started."""

    folder: Path
    """Where its database, files, log and secrets are."""
    backend_uri: str = ""
    """Database of the runs. Empty: a SQLite file in the folder."""
    artifacts: str = ""
    """Folder or s3://bucket/folder of the artifacts. Empty: in the folder."""
    port: int = PORT
    auth: bool = True
    """Ask for a password. Without it everybody who reaches the port reads and writes."""

    @property
    def uri(self) -> str:
        """What clients call it."""
        return f"http://{LOOPBACK}:{self.port}"


def start(settings: Settings, *, leave_running: bool = False) -> Process | None:
    """Start the server and return when it answers; None where it was running already.

    `UsageError` where it does not start or somebody else's server has the port.
    """
    folder = settings.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if settings.auth:
        _write_secrets(folder)
    if answers(settings):
        return None
    database = settings.backend_uri or os.environ.get(BACKEND) or f"sqlite:///{folder}/mlflow.db"
    command = [
        *(str(Path(sys.executable).with_name("mlflow")), "server", "--host", LOOPBACK, "--port", str(settings.port)),
        *("--workers", "1", "--artifacts-destination", settings.artifacts or str(folder / "artifacts")),
        *(("--app-name", "basic-auth") if settings.auth else ()),
    ]
    environment = {
        BACKEND: database,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # saves seven helper processes and 2 GB
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    if settings.auth:
        environment |= {
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / SETTINGS),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": (folder / SECRET).read_text(),
        }
    return start_server(
        command,
        environment,
        name="an MLflow server",
        log=settings.folder / LOG,
        ready=lambda: answers(settings),
        seconds=SECONDS_TO_START,
        # MLflow hands this signal on to the server proper; killed itself, it would leave that behind.
        when_we_die="" if leave_running else "TERM",
    )


def answers(settings: Settings) -> bool:
    """Whether the server is there; `UsageError` where the one on this port is not ours."""
    status = _status(settings, {})
    if status == 401 and settings.auth:
        name, password = credentials(settings.folder)
        secret = b64encode(f"{name}:{password}".encode()).decode()
        status = _status(settings, {"Authorization": f"Basic {secret}"})
    elif status == 200 and settings.auth:
        status = 0  # answers anybody
    if status is None or status >= 500:
        return False
    if status != 200:
        raise UsageError(
            got=f"port {settings.port}, where another server answers",
            expected="no server, or the one of this folder with its password",
            fix="name another --port, or the --folder of the server that is there",
        )
    return True


def _status(settings: Settings, headers: dict[str, str]) -> int | None:
    """What the server says, or None where there is none."""
    try:
        asking = HTTPConnection(LOOPBACK, settings.port, timeout=10)  # urllib would send it to a proxy
        asking.request("GET", "/api/2.0/mlflow/experiments/search?max_results=1", headers=headers)
        return asking.getresponse().status
    except (OSError, HTTPException):
        return None


def credentials(folder: Path) -> tuple[str, str]:
    """Name and password of a server's administrator."""
    kept = configparser.ConfigParser(interpolation=None)
    kept.read(folder / CREDENTIALS)
    return kept["mlflow"]["mlflow_tracking_username"], kept["mlflow"]["mlflow_tracking_password"]


@contextmanager
def running(settings: Settings) -> Iterator[Settings]:
    """A server for a while."""
    process = start(settings)
    assert process is not None, "somebody else's server"
    try:
        yield settings
    finally:
        stop_server(process)


def _write_secrets(folder: Path) -> None:
    """Draw a password and a key once; only their owner may read them."""
    if not (folder / CREDENTIALS).is_file():
        lines = f"mlflow_tracking_username = {ADMIN}\nmlflow_tracking_password = {secrets.token_hex(24)}\n"
        write_whole(folder / CREDENTIALS, f"[mlflow]\n{lines}", mode=0o600)
    if not (folder / SECRET).is_file():
        write_whole(folder / SECRET, secrets.token_hex(32), mode=0o600)
    name, password = credentials(folder)
    settings = {
        "default_permission": "READ",
        "database_uri": f"sqlite:///{folder}/basic_auth.db",
        "admin_username": name,
        "admin_password": password,
        "auth_cache_ttl_seconds": "60",  # a tenth of a second for every request otherwise, to compare one password
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
    }
    lines = "".join(f"{key} = {value}\n" for key, value in settings.items())
    write_whole(folder / SETTINGS, f"[mlflow]\n{lines}", mode=0o600)


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line; a URI with a password in it is refused, without repeating it."""
    parser = argparse.ArgumentParser(prog="python -m cluster.machines.mlflow_server", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/tracker"), help="database, files, log and secrets")
    parser.add_argument("--backend-uri", default="", help=f"database (default: SQLite in the folder, or {BACKEND})")
    parser.add_argument("--artifacts", default="", help="folder or s3://bucket/folder (default: in the folder)")
    parser.add_argument("--port", type=int, default=PORT, help="port on the loopback address (default: %(default)s)")
    parser.add_argument("--auth", action=argparse.BooleanOptionalAction, default=True, help="ask for a password")
    parser.add_argument("--detach", action="store_true", help="leave it running; start none where one runs")
    given = parser.parse_args(arguments)
    if urlsplit(given.backend_uri).password:
        raise UsageError(
            got="--backend-uri with a password, which a list of processes shows",
            expected="a URI without one",
            fix=f"give the whole URI in the variable {BACKEND}",
        )
    return given


def main() -> None:
    """Serve until interrupted, or leave a server running."""
    given = vars(options())
    detach = given.pop("detach")
    settings = Settings(**given)
    process = start(settings, leave_running=detach)
    sys.stdout.write(
        f"an MLflow server at {settings.uri}, "
        + ("which was running already" if process is None else "left running" if detach else "stop it with Ctrl-C")
        + ". Clients set:\n"
        + f"export MLFLOW_TRACKING_URI={settings.uri}\n"
    )
    if settings.auth:
        kept = settings.folder / CREDENTIALS
        for name in ("username", "password"):
            sys.stdout.write(
                f"export MLFLOW_TRACKING_{name.upper()}=$(sed -n 's/^mlflow_tracking_{name} = //p' {kept})\n"
            )
    sys.stdout.flush()
    if process is None or detach:
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        process.wait()
    except KeyboardInterrupt:
        stop_server(process)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
