"""Nodes that need not import everything again: one process has, and forks each node that a test starts.

Half of what the tests took of the processor went into imports, a second for each of some 700 nodes.  The
nursery imports what `twistd mcmw` does, up to the reactor, which belongs to one process; its children enter a
host's namespaces as `ip netns exec` does and go on in twistd's own main function, with the command line that
the lab would run.  Starts themselves are tested without it: whoever sets an environment, or has another
program in front of twistd, gets a new process, as do all with MCMW_NURSERY=no, which `make soak` says.

The tests' side is `Nursery`; run as a program this file is the other one.  Over their socket goes a line of
JSON in each direction: a node's command line and three descriptors (its output, its errors, its network) are
answered by its process number, and a process number that has ended by its exit code.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
from typing import Any

LONGEST = 65_536
IMPORTED = (
    "multicastmw.daemon", "multicastmw.services.node", "multicastmw.web.http", "pyroute2", "pytun",
    "twisted.application.app", "twisted.internet.epollreactor", "twisted.internet.udp",
    "twisted.internet.unix", "twisted.plugins.mcmw", "twisted.scripts._twistd_unix", "twisted.scripts.twistd",
)  # fmt: skip
CLONE_NEWNET, CLONE_NEWNS = 0x4000_0000, 0x2_0000
MS_REC, MS_SLAVE, MNT_DETACH = 0x4000, 0x8_0000, 2


class Nursling:
    """A node that was forked there; what the lab's Process asks of a Popen."""

    def __init__(self, nursery: "Nursery", pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._nursery = nursery
        self._ended = select.poll()
        self._handle = os.pidfd_open(pid)
        self._ended.register(self._handle, select.POLLIN)

    def poll(self) -> int | None:
        return self._await(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._await(None if timeout is None else timeout * 1000)
        if code is None:
            raise subprocess.TimeoutExpired("twistd", timeout or 0)
        return code

    def _await(self, milliseconds: float | None) -> int | None:
        if self.returncode is None and self._ended.poll(milliseconds):
            self.returncode = self._nursery.ask({"ended": self.pid})
            os.close(self._handle)
        return self.returncode

    def send_signal(self, sign: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sign)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """One for all tests of this process, from the first node on; it ends when nobody holds its socket."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()], start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip

    def start(self, command: list[str], namespace: str, output: int, errors: int) -> Nursling:
        with open(f"/run/netns/{namespace}") as network:
            told = {"argv": command, "environment": dict(os.environ), "folder": os.getcwd()}
            return Nursling(self, self.ask(told, [output, errors, network.fileno()]))

    def ask(self, told: dict[str, Any], descriptors: list[int] | None = None) -> int:
        socket.send_fds(self._socket, [json.dumps(told).encode()], descriptors or [])
        return int(self._socket.recv(LONGEST))


# --- the other side


def serve(asker: socket.socket) -> list[str] | None:
    """The command line, in a child that has become a process of its own; None when there is no asker left."""
    while True:
        data, descriptors, _, _ = socket.recv_fds(asker, LONGEST, 3)
        if not data:
            return None
        told = json.loads(data)
        if "ended" in told:
            asker.send(str(os.waitstatus_to_exitcode(os.waitpid(told["ended"], 0)[1])).encode())
            continue
        child = os.fork()
        if not child:
            asker.close()
            leave(told, *descriptors)
            return list(told["argv"])
        for descriptor in descriptors:
            os.close(descriptor)
        asker.send(str(child).encode())


def leave(told: dict[str, Any], output: int, errors: int, network: int) -> None:
    os.setsid()
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(output, 1)
    os.dup2(errors, 2)
    enter(network)
    for descriptor in (output, errors, network):
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(told["environment"])
    os.chdir(told["folder"])


def enter(network: int) -> None:
    """As ip-netns(8) does: the network, and a /sys that shows it."""
    libc = ctypes.CDLL(None, use_errno=True)

    def done(code: int) -> None:
        if code:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    done(libc.setns(network, CLONE_NEWNET))
    done(libc.unshare(CLONE_NEWNS))
    done(libc.mount(b"", b"/", b"none", MS_SLAVE | MS_REC, None))
    libc.umount2(b"/sys", MNT_DETACH)
    done(libc.mount(b"netns", b"/sys", b"sysfs", 0, None))


def main() -> None:
    import gc
    from importlib import import_module

    for name in IMPORTED:
        import_module(name)
    assert "twisted.internet.reactor" not in sys.modules
    gc.freeze()
    with contextlib.closing(socket.socket(fileno=int(sys.argv[1]))) as asker:
        sys.argv = serve(asker) or []
    if sys.argv:
        from twisted.scripts.twistd import run

        run()


# --- the tests' side, once


def nursery() -> Nursery | None:
    """The only one; None where each node shall be a new process."""
    if os.environ.get("MCMW_NURSERY") == "no" or "LD_PRELOAD" in os.environ:
        return None
    if not _only:
        _only.append(Nursery())
    return _only[0]


_only: list[Nursery] = []


if __name__ == "__main__":
    main()
