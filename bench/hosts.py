"""Machines of a cluster on one machine: network namespaces with an SSH server each, joined by a bridge.

Each has processes, a home, a host name, /dev/shm and /tmp/ray of its own, so that `ray up` finds three machines and
`ray stop` ends what runs on one of them. The disk is shared but for the homes. Needs Linux, root, sshd, rsync and ip.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import seaweed
import yaml

from cluster.store.s3 import client

ROOT = Path(__file__).parents[1]
NETWORK = "10.77.0"
"""Addresses of the bridge (.1, where servers for all listen) and of the hosts (.11 and on)."""
BRIDGE = "aman-bridge"
OUTSIDE = f"{NETWORK}.1"
HOME = Path("/root")
"""Of the user that logs in."""
SECONDS_TO_BOOT = 20.0
OBJECT_STORE = 300 * 2**20
"""Bytes of each host: by default every one would take a third of the one memory."""


def missing() -> str:
    """What this machine lacks to have hosts, or empty text."""
    programs = [name for name in ("ip", "unshare", "sshd", "ssh", "ssh-keygen", "rsync") if not find(name)]
    if programs:
        return f"no {', '.join(programs)}"
    if os.geteuid():
        return "not root"
    tried = subprocess.run(
        ["unshare", "--net", "--pid", "--fork", "--mount", "--uts", "--ipc", "true"], capture_output=True, check=False
    )
    return "namespaces are not permitted" if tried.returncode else ""


def find(program: str) -> str | None:
    """Its path; servers often lie where only root looks."""
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


@dataclass(kw_only=True)
class Host:
    """One machine: an address, a home, and the process whose end is that of all that runs on it."""

    number: int
    folder: Path
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def name(self) -> str:
        return f"aman{self.number}"

    @property
    def address(self) -> str:
        return f"{NETWORK}.{10 + self.number}"

    @property
    def home(self) -> Path:
        return self.folder / self.name

    @property
    def project(self) -> Path:
        return self.home / "aman"


@dataclass(kw_only=True)
class Hosts:
    """The machines, and what a user's laptop has to reach them."""

    folder: Path
    hosts: list[Host] = field(default_factory=list)

    @property
    def key(self) -> Path:
        return self.folder / "key"

    @property
    def token(self) -> Path:
        return self.folder / "token"

    @property
    def environment(self) -> dict[str, str]:
        """Of commands on the laptop."""
        home = self.folder / "laptop"
        home.mkdir(exist_ok=True)
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "AMAN_", "MLFLOW_"))},
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.token),
            "RAY_UP_enable_autoscaler_v2": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
        }

    def boot(self, host: Host) -> None:
        """Start the machine; its disk is as it was left."""
        inside = f"""
            mount -t proc proc /proc && hostname {host.name} && ip link set lo up
            {self.keep_python(host)} mount --rbind {host.home} {HOME}
            mkdir -p /tmp/ray && mount -t tmpfs tmpfs /tmp/ray
            mount -t tmpfs -o size=2g tmpfs /dev/shm
            exec {find("sshd")} -D -e -f {host.folder}/{host.name}.sshd
        """
        Path("/tmp/ray").mkdir(exist_ok=True)
        with (self.folder / f"{host.name}.log").open("ab") as log:
            host.process = subprocess.Popen(
                [
                    *("ip", "netns", "exec", host.name, "setpriv", "--pdeathsig", "KILL"),
                    *("unshare", "--pid", "--fork", "--kill-child", "--mount", "--uts", "--ipc", "bash", "-ec", inside),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
            )
        begun = time.monotonic()
        while self.ssh(host, "true", check=False).returncode:
            if time.monotonic() - begun > SECONDS_TO_BOOT:
                raise RuntimeError((self.folder / f"{host.name}.log").read_text())
            time.sleep(0.2)

    def keep_python(self, host: Host) -> str:
        """Commands that leave the interpreter visible where it lies in the home that the host's own will hide."""
        base = Path(sys.base_prefix)
        if not base.is_relative_to(HOME):
            return ""
        place = host.home / base.relative_to(HOME)
        return f"mkdir -p {place} && mount --bind {base} {place} &&"

    def kill(self, host: Host) -> None:
        """Cut its power."""
        if host.process is not None:
            host.process.kill()
            host.process.wait()
            host.process = None

    def give_credentials(self, environment: dict[str, str]) -> None:
        """Endpoint, region and keys of an S3 server, where boto3 looks for them and nowhere else."""
        names = {name.lower(): value for name, value in environment.items()}
        settings = {"region": names.pop("aws_default_region"), "endpoint_url": names.pop("aws_endpoint_url")}
        for host in self.hosts:
            folder = host.home / ".aws"
            folder.mkdir(mode=0o700, exist_ok=True)
            for name, values in (("config", settings), ("credentials", names)):
                path = folder / name
                path.touch(0o600)
                path.write_text("[default]\n" + "".join(f"{key} = {value}\n" for key, value in values.items()))

    def ssh(self, host: Host, command: str, *, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """A command on a machine, as the launcher gives its own."""
        quiet = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR")
        return subprocess.run(
            ["ssh", "-i", str(self.key), *quiet, "-o", "ConnectTimeout=5", f"root@{host.address}", command],
            capture_output=True,
            text=True,
            check=check,
            timeout=300,
        )

    def cluster_file(self, variables: dict[str, str], *, gpus: int = 0) -> Path:
        """ray_local.yaml for these machines: the first is the head. `variables` are set wherever Ray is started."""
        config: dict[str, Any] = yaml.safe_load((ROOT / "ray_local.yaml").read_text())
        head, *workers = self.hosts
        config["provider"] |= {"head_ip": head.address, "worker_ips": [host.address for host in workers]}
        config["auth"] = {"ssh_user": "root", "ssh_private_key": str(self.key)}
        config["min_workers"] = config["max_workers"] = len(workers)
        config["file_mounts"] = {there: str(ROOT / here) for there, here in config["file_mounts"].items()}
        config["file_mounts"]["~/.ray/auth_token"] = str(self.token)
        # Everybody has the environment of this checkout: to install gigabytes three times would show nothing more.
        config["setup_commands"] = [
            command.replace("make env", "test -x .venv/bin/ray") for command in config["setup_commands"]
        ]
        lines = "".join(f"export {name}={value}\n" for name, value in variables.items())
        config["setup_commands"] = [
            command.replace("export AMAN_STORE=s3://BUCKET/cache\n", lines) for command in config["setup_commands"]
        ]
        for kind, more in (("head", ""), ("worker", f" --num-gpus={gpus}" if gpus else "")):
            commands = config[f"{kind}_start_ray_commands"]
            commands[-1] = commands[-1].replace("ray start", f"ray start --object-store-memory={OBJECT_STORE}{more}")
        path = self.folder / "ray_local.yaml"
        path.write_text(yaml.safe_dump(config, width=200))
        return path

    def laptop(self, *command: str, timeout: float = 600, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """A command on the laptop."""
        done = subprocess.run(
            command, env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}")
        return done


@contextmanager
def network(folder: Path, count: int = 3) -> Iterator[Hosts]:
    """Hosts that are up, and gone afterwards with all that ran on them."""
    with Path("/tmp/aman-hosts.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one network of this name at a time
        mine = Hosts(folder=folder)
        try:
            lay(mine, count)
            yield mine
        finally:
            for host in mine.hosts:
                mine.kill(host)
            take_away(count)


def lay(mine: Hosts, count: int) -> None:
    """The bridge, the namespaces, keys and SSH servers."""
    mine.folder.mkdir(parents=True, exist_ok=True)
    take_away(count)
    command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(mine.key))
    command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(mine.folder / "host_key"))
    mine.token.write_text(os.urandom(32).hex())
    mine.token.chmod(0o600)
    Path("/run/sshd").mkdir(parents=True, exist_ok=True)
    command("ip", "link", "add", BRIDGE, "type", "bridge")
    command("ip", "addr", "add", f"{OUTSIDE}/24", "dev", BRIDGE)
    command("ip", "link", "set", BRIDGE, "up")
    for number in range(1, count + 1):
        add_host(mine, number)


def add_host(mine: Hosts, number: int) -> Host:
    """One more machine on the bridge, up."""
    host = Host(number=number, folder=mine.folder)
    inner, outer = f"{host.name}-in", f"{host.name}-out"
    command("ip", "netns", "add", host.name)
    command("ip", "link", "add", outer, "type", "veth", "peer", "name", inner)
    command("ip", "link", "set", inner, "netns", host.name)
    command("ip", "link", "set", outer, "master", BRIDGE, "up")
    command("ip", "-n", host.name, "addr", "add", f"{host.address}/24", "dev", inner)
    command("ip", "-n", host.name, "link", "set", inner, "up")
    command("ip", "-n", host.name, "route", "add", "default", "via", OUTSIDE)
    host.project.mkdir(parents=True)
    (host.project / ".venv").symlink_to(Path(sys.prefix))
    settings = {
        "ListenAddress": host.address,
        "HostKey": mine.folder / "host_key",
        "AuthorizedKeysFile": f"{mine.key}.pub",
        "PermitRootLogin": "prohibit-password",
        "PasswordAuthentication": "no",
        "UsePAM": "no",
        "StrictModes": "no",
        "PidFile": "none",
    }
    text = "".join(f"{name} {value}\n" for name, value in settings.items())
    (mine.folder / f"{host.name}.sshd").write_text(text)
    mine.boot(host)
    mine.hosts.append(host)
    return host


def take_away(count: int) -> None:
    """What an earlier run left behind, if anything."""
    for number in range(1, count + 9):
        subprocess.run(["ip", "netns", "del", f"aman{number}"], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", f"aman{number}-out"], capture_output=True, check=False)
    subprocess.run(["ip", "link", "del", BRIDGE], capture_output=True, check=False)


def command(*words: str) -> None:
    """A command that must work."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr}")


@dataclass(kw_only=True)
class Cluster:
    """Three hosts on which `ray up` has been, an S3 server beside them, and a tunnel to the dashboard."""

    hosts: Hosts
    s3: seaweed.Server
    file: Path
    port: int
    tunnel: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """The head's dashboard on the laptop."""
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> None:
        """`ray dashboard`, in place of a tunnel that is there already."""
        self.disconnect()
        self.tunnel = subprocess.Popen(
            ["ray", "dashboard", str(self.file), "--port", str(self.port), "--remote-port", "8265"],
            env=self.hosts.environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def disconnect(self) -> None:
        """End the tunnel."""
        if self.tunnel is not None:
            os.killpg(self.tunnel.pid, signal.SIGKILL)
            self.tunnel.wait()
            self.tunnel = None

    @property
    def head(self) -> Host:
        return self.hosts.hosts[0]

    def up(self) -> None:
        """`ray up`, as a user types it."""
        self.hosts.laptop("ray", "up", "-y", "--no-config-cache", str(self.file))

    def wait_for(self, workers: int, seconds: float = 240) -> None:
        """Until so many workers have joined: each says that it has a GPU, which it has not."""
        begun, wanted = time.monotonic(), f"/{float(workers)} GPU"
        while wanted not in (said := self.on_head("ray status", check=False).stdout):
            if time.monotonic() - begun > seconds:
                raise RuntimeError(said)
            time.sleep(2)

    def on_head(self, line: str, *, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """A command on the head, in the project's folder and with its variables."""
        return self.hosts.ssh(self.head, f"cd ~/aman && . ./.cluster.sh && {line}", check=check)

    def submit(self, *words: str, check: bool = True, wait: bool = True, name: str = "") -> str:
        """`ray job submit -- ...`; what it printed."""
        more = (*(() if wait else ("--no-wait",)), *(("--submission-id", name) if name else ()))
        done = self.hosts.laptop("ray", "job", "submit", "--address", self.url, *more, "--", *words, check=False)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}")
        return done.stdout + done.stderr

    def result(self, name: str) -> dict[str, Any]:
        """A job's JSON, which it left in the project's folder on the head."""
        return json.loads((self.head.project / name).read_text())


@contextmanager
def cluster(folder: Path, workers: int = 2, port: int = 18265) -> Iterator[Cluster]:
    """A cluster of a head and workers that is up, with a bucket `aman` and a tracker, and that goes with the block."""
    with network(folder, workers + 1) as hosts, seaweed.running(folder / "s3", address=OUTSIDE) as s3:
        client(s3.environment).create_bucket(Bucket="aman")
        hosts.give_credentials(s3.environment)
        variables = {"AMAN_STORE": "s3://aman/cache", "PYTHONPATH": f"{HOME}/aman"}
        mine = Cluster(hosts=hosts, s3=s3, file=hosts.cluster_file(variables, gpus=1), port=port)
        mine.up()
        mine.connect()
        try:
            mine.wait_for(workers)
            yield mine
        finally:
            mine.disconnect()
