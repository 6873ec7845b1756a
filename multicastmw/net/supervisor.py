"""What a service manager is told, in the words of sd_notify(3): datagrams to the socket that it names.

    READY=1, STATUS=one line, WATCHDOG=1, RELOADING=1 with MONOTONIC_USEC, STOPPING=1

It is a courtesy: whatever becomes of a datagram, the node goes on.  The environment is read once and cleared,
so that no child takes itself for the service.
"""

import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress

# What sd_notify(3) and sd_watchdog_enabled(3) say.
SOCKET, WATCHDOG, WATCHDOG_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"

# What we chose.
MAX_STATUS = 400  # characters of a status


class Supervisor:
    """Whoever started the node and waits for its word, for `watchdog` seconds (0: without end)."""

    def __init__(self, path: str, watchdog: float) -> None:
        self.watchdog = watchdog
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._socket: socket.socket | None = None
        self._status = ""

    def ready(self, status: str) -> None:
        """The start, or a reload, is over."""
        self._status = status
        self._send("READY=1", _status(status))

    def status(self, status: str) -> None:
        """One line for people; the same again is not sent again."""
        if status != self._status:
            self._status = status
            self._send(_status(status))

    def alive(self) -> None:
        """Within half of his patience, again and again."""
        self._send("WATCHDOG=1")

    def reloading(self, now: float) -> None:
        """`now` is CLOCK_MONOTONIC; `ready` follows."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={int(now * 1e6)}")

    def stopping(self) -> None:
        self._send("STOPPING=1", _status("ending"))

    def close(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str) -> None:
        # Opened when it is first used: that is after a daemon's fork.
        with suppress(OSError):
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            self._socket.sendto("\n".join(lines).encode(), self._address)


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())[:MAX_STATUS]


def supervisor(environment: MutableMapping[str, str], pid: int | None = None) -> Supervisor | None:
    """The one that the environment names, None where there is none; the environment forgets him."""
    path = environment.pop(SOCKET, "")
    patience = environment.pop(WATCHDOG, "")
    for_whom = environment.pop(WATCHDOG_PID, "")
    if not path.startswith(("/", "@")):
        return None
    meant = for_whom in ("", str(os.getpid() if pid is None else pid))
    watchdog = int(patience) / 1e6 if meant and patience.isascii() and patience.isdigit() else 0.0
    return Supervisor(path, watchdog)
