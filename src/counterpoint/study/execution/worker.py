"""A process that works on one job after the other until its parent has no more."""

from __future__ import annotations

import multiprocessing
import os
import pickle  # what a parent and its own workers say to each other
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from counterpoint.study.execution.jobs import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.context import BaseContext

# Small networks gain nothing from a second thread and lose a lot when two processes compete for it. glibc returns the
# memory of a step's activations to the system and asks for it again in the next; keeping it saves a quarter of a step.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_TRIM_THRESHOLD_": "1000000000",
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
}
# What the fork server loads for all workers. Not pandas: it loads pyarrow, whose memory allocator starts a thread.
LOADED_ONCE = ["counterpoint.training"]
_LAST_WORDS_SECONDS = 10.0


@dataclass(frozen=True)
class Raised:
    """What a job raised.

    Attributes:
        failure: What to keep of it.
        error: The exception itself.
    """

    failure: Failure
    error: BaseException


@dataclass(eq=False)
class Worker:
    """The parent's side of a process.

    Attributes:
        process: The process.
        connection: To talk to it.
        ready: Whether it has ever said something.
        index: The job that it works on.
    """

    process: Any
    connection: Connection
    ready: bool = False
    index: int | None = field(default=None)

    @classmethod
    def start(cls) -> Worker:
        """Starts a process, which says when it is ready."""
        context = _context()
        ours, theirs = context.Pipe()
        with _environment(), _ctrl_c_ignored():  # Ctrl-C reaches the whole process group; the parent ends the workers
            process = context.Process(target=_serve, args=(theirs, {**os.environ}), daemon=False)  # type: ignore[attr-defined]
            process.start()
        theirs.close()
        return cls(process, ours)

    def give(self, index: int, work: Callable[..., Any], item: object) -> None:
        """Hands it a job.

        Raises:
            Exception: what pickling raises; the worker then has no job.
        """
        job = pickle.dumps((work, item))
        self.index = index
        with suppress(OSError):  # it has died, which everybody will see in a moment
            self.connection.send_bytes(job)

    def said(self) -> Iterator[tuple[str, Any]]:
        """What it has said: ``("ready", None)``, ``("share", share)``, ``("done", outcome or Raised)``.

        Raises:
            EOFError: when it has died, after its last words.
        """
        alive = self.process.is_alive()  # first: what it said before it died is still to be read
        try:
            while self.connection.poll():
                kind, payload = pickle.loads(self.connection.recv_bytes())  # noqa: S301
                try:
                    yield kind, pickle.loads(payload)  # noqa: S301
                except Exception as error:  # noqa: BLE001  (an outcome that only its own process can load)
                    yield kind, Raised(Failure.of(error), error)
        except OSError as error:
            raise EOFError from error
        if not alive:
            raise EOFError

    def end(self) -> None:
        """Lets it go when it has no job."""
        self.connection.close()
        self.process.join(_LAST_WORDS_SECONDS)
        self.kill()

    def kill(self) -> None:
        """Ends it at once; Lightning catches a gentler signal and goes on."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def _context() -> BaseContext:
    """Workers fork from a server that has loaded what trainings need; elsewhere each loads everything itself.

    Only on Linux, where a fork of a process with one thread is safe; and not where the program itself uses the one fork
    server that a program can have: its processes would start with our environment.
    """
    own = multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]
    if not sys.platform.startswith("linux") or own == "forkserver":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED_ONCE)
    return context


@contextmanager
def _environment() -> Iterator[None]:
    """Environment for processes started within; read by their libraries on import, hence before any of our code."""
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    """For processes started within, which inherit it from their first moment on."""
    if threading.current_thread() is not threading.main_thread():  # only there may handlers be set
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _serve(connection: Connection, environment: dict[str, str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.clear()  # a fork server's is that of the moment when it started
    os.environ.update(environment)
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def say(kind: str, content: object) -> None:
        connection.send_bytes(pickle.dumps((kind, pickle.dumps(content))))

    with suppress(EOFError, OSError):  # the parent has no more jobs
        say("ready", None)
        while True:
            job = connection.recv_bytes()
            try:
                work, item = pickle.loads(job)  # noqa: S301
                say("share", 0.0)
                say("done", work(item, lambda share: say("share", share)))
            except BaseException as error:  # noqa: BLE001  (nothing that a job does ends the worker)
                say("done", _raised(error))


def _raised(error: BaseException) -> Raised:
    failure = Failure.of(error)
    error.add_note(f"In a worker process:\n{failure.trace}")
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301
    except Exception:  # noqa: BLE001  (exceptions may hold anything and be built from anything)
        error = RuntimeError(failure.error)
    return Raised(failure, error)


def _end_with_parent() -> None:
    """A parent that was killed cannot end its workers: they would finish their run and then wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
