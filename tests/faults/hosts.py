"""Several hosts on one machine: network namespaces with an SSH server each, joined by a bridge.

Each host has its own processes, home, host name, /dev/shm and /tmp/aman-ray-0, so that `ray up` finds separate machines
and `ray stop` ends only what runs on one of them. All hosts share the disk except for the homes. Needs Linux, root,
sshd, rsync and ip.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).parents[2]
NETWORK = "10.77.0"
"""Addresses of the bridge (.1, where servers for all hosts listen) and of the hosts (from .11 on)."""
BRIDGE = "aman-bridge"
OUTSIDE = f"{NETWORK}.1"
HOME = Path("/root")
"""Home of the user that logs in on a host."""
SECONDS_TO_BOOT = 20.0


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
    """Path of a program; servers are often in folders that only root's PATH holds."""
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


@dataclass(kw_only=True)
class Host:
    """One host: an address, a home, and the process whose end ends everything that runs on the host."""

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
    """The hosts, and what a user's laptop needs to reach them."""

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
        """Environment of commands on the laptop."""
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
        """Start the host; its disk is as the host left it."""
        inside = f"""
            mount -t proc proc /proc && hostname {host.name} && ip link set lo up
            {self.keep_python(host)} mount --rbind {host.home} {HOME}
            mkdir -p /tmp/aman-ray-0 && mount -t tmpfs -o mode=700 tmpfs /tmp/aman-ray-0
            mount -t tmpfs -o size=2g tmpfs /dev/shm
            exec {find("sshd")} -D -e -f {host.folder}/{host.name}.sshd
        """
        Path("/tmp/aman-ray-0").mkdir(exist_ok=True)
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
        """Shell commands that keep the interpreter visible although the host's own home hides the folder it is in."""
        base = Path(sys.base_prefix)
        if not base.is_relative_to(HOME):
            return ""
        place = host.home / base.relative_to(HOME)
        return f"mkdir -p {place} && mount --bind {base} {place} &&"

    def kill(self, host: Host) -> None:
        """Cut the host's power."""
        if host.process is not None:
            host.process.kill()
            host.process.wait()
            host.process = None

    def give_credentials(self, environment: dict[str, str]) -> None:
        """Write endpoint, region and keys of an S3 server to the files that boto3 reads, on every host."""
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
        """A command on a host, with the options that Ray's launcher gives to its own commands."""
        quiet = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR")
        return subprocess.run(
            ["ssh", "-i", str(self.key), *quiet, "-o", "ConnectTimeout=5", f"root@{host.address}", command],
            capture_output=True,
            text=True,
            check=check,
            timeout=300,
        )

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
    """Hosts that are up; at the end the hosts are removed with everything that ran on them."""
    with FileLock("/tmp/aman-hosts.lock"):  # one network of this name at a time
        mine = Hosts(folder=folder)
        try:
            build(mine, count)
            yield mine
        finally:
            for host in mine.hosts:
                mine.kill(host)
            take_away(count)


def build(mine: Hosts, count: int) -> None:
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


def add_host(mine: Hosts, number: int) -> None:
    """One more host on the bridge, up."""
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


def take_away(count: int) -> None:
    """Remove what an earlier run left behind, if anything."""
    for number in range(1, count + 9):
        subprocess.run(["ip", "netns", "del", f"aman{number}"], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", f"aman{number}-out"], capture_output=True, check=False)
    subprocess.run(["ip", "link", "del", BRIDGE], capture_output=True, check=False)


def command(*words: str) -> None:
    """A command that must work."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr}")
