"""Stops or kills a process at the moment when a file of a given name is written and not yet named.

Python imports this at its start where this folder is on PYTHONPATH: no code of the project knows of it. The
variables FAULT_* say where (AT: the name that the file is to get), at which such file (NUMBER, from 1), what
is done there (DO: stop; kill_half: the process is killed after the file is cut in two; stop_later,
kill_later: 20 ms later); TOLD: the file to which the process writes its number, once.
"""

import os
import re
import signal
import threading

_fsync = os.fsync
_seen = []


def _disturbing(descriptor):
    _fsync(descriptor)
    path = os.readlink(f"/proc/self/fd/{descriptor}")
    if not re.fullmatch(
        rf"\.{re.escape(os.environ['FAULT_AT'])}\.\d+-[0-9a-f]+\.part", os.path.basename(path)
    ):
        return
    _seen.append(descriptor)
    if len(_seen) != int(os.environ.get("FAULT_NUMBER", "1")) or os.path.exists(os.environ["FAULT_TOLD"]):
        return
    with open(os.environ["FAULT_TOLD"] + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(os.environ["FAULT_TOLD"] + ".new", os.environ["FAULT_TOLD"])
    what = os.environ["FAULT_DO"]
    if what == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif what.endswith("_later"):
        later = {"stop_later": signal.SIGSTOP, "kill_later": signal.SIGKILL}[what]
        threading.Timer(0.02, os.kill, (os.getpid(), later)).start()
    else:
        os.truncate(path, os.path.getsize(path) // 2)
        os.kill(os.getpid(), signal.SIGKILL)


if "FAULT_AT" in os.environ:
    os.fsync = _disturbing
