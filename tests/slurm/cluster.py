"""A SLURM of one node, started from Debian's packages and ended by its own processes' ids."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

CONFIGURATION = Path("/etc/slurm")  # a job step looks nowhere else
PROGRAMS = (
    "munged", "mungekey", "slurmctld", "slurmd", "slurmdbd", "mariadbd", "mariadb-install-db", "sbatch",
    "squeue", "sacct",
)  # fmt: skip
PACKAGES = "slurm-wlm munge slurmdbd mariadb-server"
OURS = "# Sightline's tests made this file; process"
PARTITION, ACCOUNT, NODE = "short", "readers", socket.gethostname().split(".")[0]
CPUS, MEMORY_MB = 4, 7000  # as if: what the node has is not looked at
LONGEST_START_SECONDS = 60

SLURM = """{ours}
ClusterName=sightline
SlurmctldHost={node}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={controller}
SlurmdPort={daemon}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePass={folder}/munge.socket
AccountingStoragePort={accounting}
AccountingStorageEnforce=associations
AccountingStoreFlags=job_comment
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=2
OverTimeLimit=0
InactiveLimit=0
MinJobAge=300
NodeName={node} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName={partition} Nodes={node} Default=YES MaxTime=60 State=UP
"""

ACCOUNTING = """{ours}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={accounting}
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=slurm
StoragePass=slurm
StorageLoc=accounting
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
"""


def why_not() -> str | None:
    """Why no SLURM can be started here; None where one can."""
    if os.geteuid() != 0:
        return f"a SLURM of its own needs root, and this is {getpass.getuser()}"
    missing = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if missing:
        return f"{', '.join(missing)} not found: apt-get install {PACKAGES}"
    for name in ("slurm.conf", "slurmdbd.conf"):
        file = CONFIGURATION / name
        if file.exists() and not _left_behind(file):
            return f"{file} exists: this machine has a SLURM, which the tests leave alone"
    return None


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def _left_behind(file: Path) -> bool:
    """Whether these tests wrote `file` in a process that is gone."""
    first = file.read_text().splitlines()[:1]
    if not first or not first[0].startswith(OURS):
        return False
    return not Path("/proc", first[0].split()[-1]).exists()


def command(*arguments: str, check: bool = True) -> str:
    """What a client of SLURM prints."""
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert not check or done.returncode == 0, f"{' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


def wait_for(what: str, true: object, seconds: float = LONGEST_START_SECONDS, every: float = 0.2) -> None:
    """Wait until `true()`; an assertion that names `what` after `seconds`."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(every)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Cluster:
    """The processes of a SLURM of one node, in the order in which they were started."""

    folder: Path
    controller: int  # its port: what tells this SLURM's jobs from another's
    processes: dict[str, subprocess.Popen]

    def start(self, name: str, *arguments: str, **variables: str) -> None:
        """Start a daemon in the foreground, its output in a file of its name."""
        with open(self.folder / f"{name}.out", "ab") as output:
            self.processes[name] = subprocess.Popen(
                [shutil.which(name, path=_path()) or name, *arguments],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                env=os.environ | variables,
                start_new_session=True,  # what ends the tests from the keyboard does not end it first
            )

    def stop(self) -> None:
        """End every process by its id, last started first."""
        for process in reversed(self.processes.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(15)
        for process in self.outliving():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def outliving(self) -> list[int]:
        """Processes of its jobs that outlive their job: without cgroups SLURM may lose sight of some."""
        mark, found = f"SLURM_WORKING_CLUSTER=sightline:127.0.0.1:{self.controller}:".encode(), []
        for environment in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):  # it ended meanwhile
                if mark in environment.read_bytes():
                    found.append(int(environment.parent.name))
        return found

    def told(self) -> str:
        """The last lines of every daemon's output and log, for an error."""
        files = [*self.folder.glob("*.out"), *self.folder.glob("*.log")]
        return "\n".join(f"--- {file.name}\n{file.read_text()[-1500:]}" for file in sorted(files))


@contextmanager
def running() -> Iterator[Cluster]:
    """A SLURM with accounting, ready for jobs; nothing of it is left behind."""
    folder = Path(tempfile.mkdtemp(prefix="sightline-slurm-"))
    folder.chmod(0o755)  # munged wants its socket to be in reach of all
    controller, daemon, accounting, database = _free_ports(4)
    values = {
        "ours": f"{OURS} {os.getpid()}", "folder": folder, "node": NODE, "partition": PARTITION,
        "controller": controller, "daemon": daemon, "accounting": accounting, "database": database,
        "cpus": CPUS, "memory": MEMORY_MB,
    }  # fmt: skip
    cluster = Cluster(folder, controller, {})
    CONFIGURATION.mkdir(exist_ok=True)
    written = [CONFIGURATION / "slurm.conf", CONFIGURATION / "slurmdbd.conf"]
    try:
        for file, text in zip(written, (SLURM, ACCOUNTING)):
            file.write_text(text.format(**values))
            file.chmod(0o600 if "dbd" in file.name else 0o644)  # slurmdbd reads a password there
        for name in ("state", "spool"):
            (folder / name).mkdir()
        try:
            _start(cluster, database, accounting, controller)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{cluster.told()}") from None
        yield cluster
        command("scancel", f"--partition={PARTITION}", check=False)
        wait_for("the last jobs to end", lambda: not command("squeue", "--noheader"), 30)
    finally:
        cluster.stop()
        for file in written:
            file.unlink(missing_ok=True)
        shutil.rmtree(folder)


def _start(cluster: Cluster, database: int, accounting: int, controller: int) -> None:
    """Start the daemons, each when those that it talks to answer."""
    folder = cluster.folder
    subprocess.run([shutil.which("mungekey", path=_path()), "-c", "-k", folder / "munge.key"], check=True)
    cluster.start(
        "munged", "--foreground", "--force", f"--key-file={folder}/munge.key",
        f"--socket={folder}/munge.socket",
        f"--pid-file={folder}/munge.pid", f"--seed-file={folder}/munge.seed",
        f"--log-file={folder}/munge.log",
    )  # fmt: skip
    _start_database(cluster, database)
    cluster.start("slurmdbd", "-D")
    wait_for("slurmdbd", lambda: _answers(accounting))
    entities = (("cluster", "sightline"), ("account", ACCOUNT), ("user", "root", f"account={ACCOUNT}"))
    for entity in entities:
        command("sacctmgr", "-i", "add", *entity)
    cluster.start("slurmctld", "-D", "-c")
    wait_for("slurmctld", lambda: _answers(controller))
    cluster.start("slurmd", "-D", "-N", NODE)
    wait_for("an idle node", lambda: "idle" in command("sinfo", "-h", "-o", "%T", check=False))


def _start_database(cluster: Cluster, port: int) -> None:
    """MariaDB with an empty database for the accounting, on the loopback alone."""
    data, log = cluster.folder / "database", cluster.folder / "database.log"
    with open(log, "wb") as output:
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}", "--skip-test-db"],
            stdout=output,
            stderr=output,
            check=True,
        )
    users = cluster.folder / "users.sql"
    users.write_text(
        "CREATE DATABASE IF NOT EXISTS accounting;\n"
        "CREATE USER IF NOT EXISTS 'slurm'@'%' IDENTIFIED BY 'slurm';\n"
        "GRANT ALL ON accounting.* TO 'slurm'@'%';\n"
    )
    cluster.start(
        "mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", f"--port={port}",
        "--bind-address=127.0.0.1", f"--socket={cluster.folder}/database.socket", f"--init-file={users}",
        "--skip-name-resolve", "--innodb-lock-wait-timeout=900",
    )  # fmt: skip
    wait_for("MariaDB", lambda: _answers(port))
