"""A real SLURM of one node, with accounting, on loopback: everything in one folder, ended by the pids of its daemons.

Nothing is read from or written to /etc, and no service of the machine is touched. Needs the programs in `PROGRAMS`;
`make test-cluster` installs them.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "slurmdbd", "srun", "sbatch", "sacctmgr", "munged", "mariadbd", "mariadb-install-db")
PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/sbin"))  # of the daemons
MAX_ARRAY_SIZE = 21
START_SECONDS = 60.0


def missing() -> list[str]:
    """Programs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]


@dataclass
class Cluster:
    """`environment`: what commands need to find it. Partitions `main` (default, an hour) and `short` (two minutes)."""

    folder: Path
    environment: Mapping[str, str]
    pids: list[Path] = field(default_factory=list)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def ask(self, *command: str) -> str:
        done = subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
        return done.stdout.strip()

    def states(self) -> dict[str, str]:
        """State of every job that it still knows, by id: 3_0 for a task of an array."""
        rows = self.ask("squeue", "--noheader", "--array", "--states=all", "--format=%i|%T").splitlines()
        return dict(row.split("|") for row in rows)


@contextmanager
def one_node(folder: Path) -> Iterator[Cluster]:
    """Start it, and end it with everything that runs on it."""
    cores = len(os.sched_getaffinity(0))
    ports = _free_ports(3)
    environment = {**os.environ, "PATH": PATH, "SLURM_CONF": str(folder / "slurm.conf")}
    environment["MYSQL_UNIX_PORT"] = str(folder / "run" / "db.sock")  # slurmdbd has no key for the socket
    cluster = Cluster(folder, environment)
    for name in ("ctld", "spool", "run", "log", "db"):
        (folder / name).mkdir(parents=True)
    socket_of_munge = folder / "run" / "munge.socket"
    _write(folder / "slurm.conf", _slurm_conf(folder, ports, cores))
    _write(folder / "slurmdbd.conf", _slurmdbd_conf(folder, ports[2]))
    try:
        _munge(cluster)
        _until(socket_of_munge.exists, "munged")
        _database(cluster)
        _daemon(cluster, "slurmdbd", "-D")
        cluster.pids.append(folder / "run" / "slurmdbd.pid")
        _until(lambda: _answers(cluster, "sacctmgr", "--noheader", "list", "cluster"), "slurmdbd")
        cluster.ask("sacctmgr", "--immediate", "add", "cluster", "one")
        _daemon(cluster, "slurmctld", "-D", "-c", "-f", str(folder / "slurm.conf"))
        cluster.pids.append(folder / "run" / "slurmctld.pid")
        _daemon(cluster, "slurmd", "-D", "-f", str(folder / "slurm.conf"), "-N", socket.gethostname())
        cluster.pids.append(folder / "run" / "slurmd.pid")
        _until(lambda: _answers(cluster, "sinfo", "--noheader", "--format=%T", words="idle"), "an idle node")
        yield cluster
    finally:
        _end(cluster)


def _munge(cluster: Cluster) -> None:
    run, log = cluster.folder / "run", cluster.folder / "log" / "munged.log"
    key = cluster.folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    options = {
        "socket": run / "munge.socket",
        "key-file": key,
        "pid-file": run / "munged.pid",
        "log-file": log,
        "seed-file": run / "munge.seed",
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    cluster.ask("munged", "--force", "--num-threads=2", *words)
    cluster.pids.append(run / "munged.pid")


def _database(cluster: Cluster) -> None:
    """MariaDB without a port and without password checks: its socket lies in a folder of ours alone."""
    db, run = cluster.folder / "db", cluster.folder / "run"
    own = ["--no-defaults", f"--datadir={db}", "--user=root"]
    cluster.ask("mariadb-install-db", *own, "--auth-root-authentication-method=normal", "--skip-test-db")
    where = [f"--socket={run / 'db.sock'}", f"--pid-file={run / 'mariadbd.pid'}"]
    sizes = ["--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M", "--innodb-lock-wait-timeout=900"]
    _daemon(cluster, "mariadbd", *own, *where, "--skip-networking", *sizes)
    cluster.pids.append(run / "mariadbd.pid")
    _until((run / "db.sock").exists, "mariadbd")


def _daemon(cluster: Cluster, name: str, *arguments: str) -> None:
    """In a session of its own, so that no signal to the tests reaches it."""
    with (cluster.folder / "log" / f"{name}.out").open("ab") as log:
        process = subprocess.Popen(
            [shutil.which(name, path=PATH) or name, *arguments],
            env=cluster.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    cluster.processes.append(process)


def _end(cluster: Cluster) -> None:
    """First the jobs, then the daemons, the last one first."""
    with suppress(AssertionError, OSError, subprocess.SubprocessError):
        cluster.ask("scancel", "--signal=KILL", "--user=root")
        cluster.ask("scancel", "--user=root")
        _until(lambda: not cluster.ask("squeue", "--noheader"), "the end of all jobs", 20)
    for path in reversed(cluster.pids):
        with suppress(OSError, ValueError):
            pid = int(path.read_text())
            os.kill(pid, signal.SIGTERM)
            with suppress(AssertionError):
                _until(lambda pid=pid: not _lives(cluster, pid), f"the end of {path.stem}", 20)
                continue
            os.kill(pid, signal.SIGKILL)
    for process in cluster.processes:
        process.kill()  # that has not even written its pid file
        process.wait()


def _lives(cluster: Cluster, pid: int) -> bool:
    for process in cluster.processes:
        process.poll()  # else it stays as a zombie
    return Path(f"/proc/{pid}").exists()


def _answers(cluster: Cluster, *command: str, words: str = "") -> bool:
    done = subprocess.run(command, env=cluster.environment, capture_output=True, text=True, check=False)
    return done.returncode == 0 and words in done.stdout


def _until(true: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.1)


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _write(path: Path, lines: Mapping[str, object]) -> None:
    path.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    path.chmod(0o600)


def _slurm_conf(folder: Path, ports: list[int], cores: int) -> dict[str, object]:
    host = socket.gethostname()
    return {
        "ClusterName": "one",
        "SlurmctldHost": f"{host}(127.0.0.1)",
        "SlurmctldPort": ports[0],
        "SlurmdPort": ports[1],
        "CommunicationParameters": "NoCtldInAddrAny,NoInAddrAny",
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={folder / 'run' / 'munge.socket'}",
        "CryptoType": "crypto/munge",
        "SlurmUser": "root",
        "SlurmdUser": "root",
        "StateSaveLocation": folder / "ctld",
        "SlurmdSpoolDir": folder / "spool",
        "SlurmctldPidFile": folder / "run" / "slurmctld.pid",
        "SlurmdPidFile": folder / "run" / "slurmd.pid",
        "SlurmctldLogFile": folder / "log" / "slurmctld.log",
        "SlurmdLogFile": folder / "log" / "slurmd.log",
        "MailProg": "/bin/true",
        "MpiDefault": "none",
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "SwitchType": "switch/none",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core",
        "ReturnToService": 2,
        "MaxArraySize": MAX_ARRAY_SIZE,
        "KillWait": 5,
        "JobAcctGatherType": "jobacct_gather/none",
        "AccountingStorageType": "accounting_storage/slurmdbd",
        "AccountingStorageHost": "127.0.0.1",
        "AccountingStoragePort": ports[2],
        "AccountingStoragePass": folder / "run" / "munge.socket",
        "NodeName": f"{host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=2000 State=UNKNOWN",
        "PartitionName": f"main Nodes={host} Default=YES MaxTime=60 State=UP\n"
        f"PartitionName=short Nodes={host} MaxTime=2 State=UP",
    }


def _slurmdbd_conf(folder: Path, port: int) -> dict[str, object]:
    return {
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={folder / 'run' / 'munge.socket'}",
        "DbdAddr": "127.0.0.1",
        "DbdHost": socket.gethostname(),
        "DbdPort": port,
        "SlurmUser": "root",
        "PidFile": folder / "run" / "slurmdbd.pid",
        "LogFile": folder / "log" / "slurmdbd.log",
        "StorageType": "accounting_storage/mysql",
        "StorageHost": "localhost",
        "StorageUser": "root",
        "StorageLoc": "slurm_acct",
        "Parameters": "PreserveCaseUser",
    }
