"""What surrounds a job: its log, its threads, checks of what it reads, seals and costs of what it writes."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sized
from pathlib import Path
from typing import Any, TextIO, TypeVar
from weakref import WeakKeyDictionary

from sightline import publishing, runs, shards
from sightline.errors import SightlineError
from sightline.running import hardware, limited, marks, seals

Item = TypeVar("Item")
# read by the libraries when they are loaded; what is loaded already is set by `set_threads`
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)
# by name: that every job can set their threads makes no job's numbers depend on their versions
NUMERIC, THREADPOOL = ("numpy", "scipy.linalg", "cv2", "torch", "pyarrow"), "threadpoolctl"
LOG_SECONDS, TERMINAL_SECONDS, FILE_SECONDS = 5.0, 30.0, 60.0  # between two lines of progress
GATES = ("checked", "planned")  # names of inputs that open the way for a job and are not read by it
_terminal: list[TextIO] = []  # the real stderr, while a job's output goes to its log
_said: WeakKeyDictionary[TextIO, float] = WeakKeyDictionary()  # when a terminal last got one of many lines
_names: list[str] = []  # of the jobs that run in this process, the innermost last
_childrens_devices: list[dict[str, object]] = []


def paths(files: Any) -> list[Path]:
    """`files` (a path, or lists and dicts of paths as Snakemake has them) as one flat list, each once."""
    if isinstance(files, (str, os.PathLike)):
        return [Path(files)]
    items = files.values() if isinstance(files, dict) else files
    return list(dict.fromkeys(path for item in items for path in paths(item)))


def name_of(log: Path | str) -> str:
    """The job whose log is `log`, as rules place logs: its rule and its wildcards, "train/small.seed0"."""
    parts = Path(log).with_suffix("").parts
    last = len(parts) - 1 - parts[::-1].index("logs") if "logs" in parts else len(parts) - 2
    return "/".join(parts[last + 1 :])


def read_by(inputs: Any) -> list[Path]:
    """Those of a job's inputs that it reads: all but the `GATES`, which are no part of what it makes."""
    by_name = dict(inputs.items()) if hasattr(inputs, "items") else {}
    gates = {path for name in GATES for path in paths(by_name.get(name, ()))}
    return [path for path in paths(inputs) if path not in gates]


# ---- threads


def set_threads(count: int) -> None:
    """Give BLAS, OpenMP, OpenCV, PyTorch and Arrow `count` threads each, those loaded and those loaded later.

    A constant of the study: another number of threads may change the last bits of sums.
    """
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(count)))
    if count > hardware.cores():  # libraries loaded later would take no more threads than there are cores
        for library in NUMERIC:
            importlib.import_module(library)
    loaded = sys.modules
    if "numpy" in loaded:
        importlib.import_module(THREADPOOL).threadpool_limits(limits=count)
    if "torch" in loaded:
        loaded["torch"].set_num_threads(count)
    if "cv2" in loaded:
        loaded["cv2"].setNumThreads(count)
    if "pyarrow" in loaded:
        loaded["pyarrow"].set_cpu_count(count)


# ---- log


@contextlib.contextmanager
def _logged(log: Path | None) -> Iterator[TextIO]:
    """Send standard output and error, warnings and logging to `log`; yield the real standard error."""
    if log is None:
        yield sys.stderr
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.ExitStack() as stack:
        # the descriptors too: libraries in C and child processes write there
        kept = {number: os.dup(number) for number in (1, 2)}
        terminal = stack.enter_context(os.fdopen(os.dup(kept[2]), "w", buffering=1))
        log.unlink(missing_ok=True)  # a job that outlived its run goes on writing to its own
        stream = open(log, "w", buffering=1, encoding="utf-8")  # noqa: SIM115 (closed at the end)
        stack.callback(_close, stream)
        handler = logging.StreamHandler(stream)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root = logging.getLogger()
        level = root.level
        try:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
            root.addHandler(handler)
            root.setLevel(min(level, logging.INFO) or logging.INFO)
            _terminal.append(terminal)
            with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
                yield terminal
        finally:
            _terminal.remove(terminal)
            root.removeHandler(handler)
            root.setLevel(level)
            for number, copy in kept.items():
                os.dup2(copy, number)
                os.close(copy)


def _close(stream: TextIO) -> None:
    with contextlib.suppress(OSError):  # of a full disk its writers have been told
        stream.close()


def progress(
    items: Iterable[Item], total: int | None, what: str, skipped: Callable[[], int] | None = None
) -> Iterator[Item]:
    """Yield `items` and tell how far: job, what, done of total, rate, time left, how many were `skipped()`.

    `total` None: their length. A line goes to the log at most every 5 seconds, to the terminal every 30 (60
    where that is a file), and the last one there where one was before, or something was skipped. Raises
    `runs.Superseded` where a later run began (looked at with the log's lines).
    """
    total = len(items) if total is None and isinstance(items, Sized) else total
    start = time.monotonic()
    told, shown, done = start, None, 0
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - told < LOG_SECONDS and done != total:
            continue
        runs.check()
        left_out = skipped() if skipped else 0
        line = _progress_line(what, done, total, now - start) + (f", {left_out} skipped" if left_out else "")
        told = now
        print(line, file=sys.stderr, flush=True)
        last = done == total and (shown is not None or left_out)
        if _terminal and (last or now - (shown or start) >= _terminal_seconds()):
            shown = now
            print(line, file=_terminal[-1], flush=True)


def _terminal_seconds() -> float:
    return TERMINAL_SECONDS if _terminal[-1].isatty() else FILE_SECONDS


def tell(text: str) -> None:
    """Print `text` to the log and to the terminal."""
    print(text, file=sys.stderr, flush=True)
    if _terminal:
        print(text, file=_terminal[-1], flush=True)


def say(text: str) -> None:
    """Print `text`, one of many lines on how far a job is, to the log, and to the terminal now and then."""
    line, now = f"{_of_job()}{text}", time.monotonic()
    print(line, file=sys.stderr, flush=True)
    if _terminal and now - _said.get(_terminal[-1], now - FILE_SECONDS) >= _terminal_seconds():
        _said[_terminal[-1]] = now
        print(line, file=_terminal[-1], flush=True)


def _of_job() -> str:
    return f"{_names[-1]}: " if _names else ""


def _progress_line(what: str, done: int, total: int | None, seconds: float) -> str:
    rate = done / max(seconds, 1e-9)
    text = f"{_of_job()}{what}: {done}" + (f" of {total}" if total else "") + f", {rate:.3g} per s"
    return text + (f", {duration((total - done) / rate)} left" if total and done < total else "")


def duration(seconds: float) -> str:
    """Seconds as a person says them: "12 s", "3 min 20 s", "2 h 05 min"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
    )


# ---- limits


def within(limits: limited.Limits, work: Callable[[], object], made: Any = ()) -> None:
    """Do `work` within `limits` (`limited.run`); its costs are the job's.

    What it wrote half of the files `made` is removed where it is ended. Raises what `limited.run` raises, and
    `runs.Superseded`, with nothing removed, where the files are a later run's by then.
    """

    def told() -> dict[str, object]:
        work()
        return _device()

    try:
        _childrens_devices.append(limited.run(told, limits, _device_peak_bytes))
    except limited.Ended:
        with runs.owned():
            for path in paths(made):
                publishing.clear(path)
                path.unlink(missing_ok=True)
        raise


# ---- costs


def _device() -> dict[str, object]:
    """What this process, or a child within limits, computed on, by name; of a GPU its peak of memory, too."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return {"device": torch.cuda.get_device_name(), "device_peak_bytes": _device_peak_bytes()}
    return _childrens_devices[-1] if _childrens_devices else {"device": "cpu"}


def _device_peak_bytes() -> int:
    """The most memory of a GPU that tensors of this process held at once; 0 where it computed on none."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0
    return max(torch.cuda.max_memory_allocated(index) for index in range(torch.cuda.device_count()))


def costs_path(output: Path | str) -> Path:
    """Where the costs of the job whose first output is `output` lie: beside it."""
    output = Path(output)
    return output.with_name(f".{output.name}.costs.json")


# ---- the job


@contextlib.contextmanager
def recorded(
    inputs: Any, outputs: Any, params: Any, log: Any = (), threads: int | None = None, joined: Any = ()
) -> Iterator[None]:
    """Surround a script's work, given its rule's `input`, `output`, `params` and `log`.

    Before: all that is printed goes to `log`, a mark says that the job runs (taken away at its end), the
    inputs are held against their seals, numeric libraries get `threads` threads (default: the param
    `threads`, else 1). After: each output gets a seal with the params, the inputs' digests and the job's
    name, the first one a file of costs (seconds, CPU seconds, peak bytes, device). Inputs that are shards,
    `joined` here, are named by what they came from; their costs are added, and they are removed at the end.
    Where the work fails, the traceback is in the log, one line with the message and the log's path on
    standard error, exit code 1.
    """
    made, logs, params = paths(outputs), paths(log), seals.named(params)
    try:
        runs.check()
    except runs.Superseded as error:  # before it touches the log, which is the later run's, too
        print(f"sightline: {error}", file=sys.stderr, flush=True)
        runs.withdraw()
        raise SystemExit(1) from None
    name = name_of(logs[0]) if logs else ""
    with _logged(logs[0] if logs else None) as terminal, contextlib.ExitStack() as stack:
        try:
            _names.append(name)
            stack.callback(_names.pop)
            stack.enter_context(marks.marked(made, name, seals.place(logs[0]) if logs else ""))
            _clear(made)
            set_threads(int(params.get("threads", 1) if threads is None else threads))
            seals.verify(paths(inputs))
            seals.date(paths(inputs))
            touched = seals.touched(read_by(inputs))
            made_by = {"params": params, "inputs": seals.sources(read_by(inputs), paths(joined))}
            made_by |= {"job": name} if name else {}
            start, cpu = time.monotonic(), hardware.cpu_seconds()
            yield
            costs = {"seconds": time.monotonic() - start, "cpu_seconds": hardware.cpu_seconds() - cpu}
            seals.check_untouched(touched, made_by["inputs"])
            seals.date(paths(inputs))  # the clock may have been set back meanwhile
            seals.seal(made, made_by)
            if made:
                costs |= {"job": made[0].as_posix(), "peak_bytes": hardware.peak_bytes()} | _device()
                costs["processor"] = hardware.processor()
                costs = shards.summed(costs, [costs_path(part) for part in paths(joined)])
                seals.write_json(costs_path(made[0]), costs)
            shards.remove(paths(joined))
        except Exception as error:
            where = f" (log: {logs[0]})" if logs else ""
            print(f"sightline: {_message(error, made)}{where}", file=terminal, flush=True)
            with contextlib.suppress(OSError):  # the log may lie on a disk that is full
                traceback.print_exc()
            _withdraw_where_superseded()
            raise SystemExit(1) from None


def _clear(made: list[Path]) -> None:
    """Take away what says of the outputs that they are finished, and what a killed job left half done."""
    with runs.owned():
        for output in made[:1]:
            costs_path(output).unlink(missing_ok=True)
        for output in made:
            seals.seal_path(output).unlink(missing_ok=True)
            publishing.clear(output)


def _message(error: Exception, made: list[Path]) -> str:
    if publishing.was_full(error) and made:
        disk = shutil.disk_usage(made[0].parent)
        return (
            f"{made[0].parent}: the disk or a quota is full ({disk.free / 1e9:.3g} GB free of "
            f"{disk.total / 1e9:.3g}): {error}; free some and run again, what is finished stays"
        )
    return str(error) if isinstance(error, SightlineError) else f"unexpected {type(error).__name__}: {error}"


def _withdraw_where_superseded() -> None:
    try:
        runs.check()
    except runs.Superseded:
        runs.withdraw()
