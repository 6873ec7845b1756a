"""A network namespace of a test's own: one thread lives in it, and it ends with the last descriptor.

The rest of the process stays where it was, so nothing can be left behind in the machine's own namespace.
"""

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

CLONE_NEWNET = 0x40000000


def _unshare() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")


class Namespace:
    """Runs calls in a thread whose network is empty.  Raises OSError without the privilege."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1)
        before = self._inode()
        try:
            self.run(_unshare)
            if self.run(self._inode) == before:
                raise OSError("the thread is still in the machine's own network")
        except OSError:
            self.close()
            raise

    @staticmethod
    def _inode() -> int:
        return os.stat("/proc/thread-self/ns/net").st_ino

    def run(self, call: Callable[..., T], *args: Any) -> T:
        return self._thread.submit(call, *args).result(timeout=10)

    def close(self) -> None:
        self._thread.shutdown()


def why_not() -> str | None:
    """What is missing for tests with the kernel's TAP, or None."""
    if os.geteuid():
        return "needs root"
    if not os.path.exists("/dev/net/tun"):
        return "needs /dev/net/tun"
    try:
        Namespace().close()
    except OSError as error:
        return f"needs a network namespace: {error}"
    return None
