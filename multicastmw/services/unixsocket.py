"""A UNIX socket to listen at: what may be taken away from its path, and who may have it."""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EEXIST
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory

from multicastmw.services.errors import CannotStart


class UnixSocket:
    """Listens at a path for whom `mode` lets in; raises CannotStart, which begins with `option`."""

    def __init__(self, reactor: Any, path: str, factory: IProtocolFactory, mode: int, option: str) -> None:
        self._path = path
        self._folder = os.path.dirname(path) or "."
        self._is_our_folder = not os.path.isdir(self._folder)
        try:
            os.makedirs(self._folder, exist_ok=True)
            _clear(path, option)
            with _nobody_else(mode):
                self._port: IListeningPort = reactor.listenUNIX(path, factory, mode=mode)
        except (OSError, CannotListenError) as error:
            raise CannotStart(f"{option}: {path}: {_why(error)}") from error

    def give_to(self, uid: int, gid: int) -> None:
        """The user that the node becomes may talk to it, and take it away."""
        os.chown(self._path, uid, gid)
        if self._is_our_folder:
            os.chown(self._folder, uid, gid)

    def stopListening(self) -> Any:
        """Where the folder is another's, the path stays, and the next node replaces it."""
        stopped = self._port.stopListening()
        return stopped.addErrback(lambda failure: failure.trap(OSError)) if stopped else None


@contextmanager
def _nobody_else(mode: int) -> Iterator[None]:
    """The socket is born with its mode: Twisted changes it only afterwards."""
    before = os.umask(~mode & 0o777)
    try:
        yield
    finally:
        os.umask(before)


def _clear(path: str, option: str) -> None:
    """Takes a stale socket away; nothing else that may stand there."""
    if not os.path.lexists(path):
        return
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise FileExistsError(EEXIST, "something is there that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        trial.setblocking(False)  # a node that hangs answers nobody, but it is there
        try:
            trial.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass
    raise CannotStart(f"{option}: another node answers at {path}")


def _why(error: OSError | CannotListenError) -> str:
    inner = error.socketError if isinstance(error, CannotListenError) else error
    return getattr(inner, "strerror", None) or str(inner)
