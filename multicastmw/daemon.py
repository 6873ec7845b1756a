"""The command line of `twistd mcmw`: a file's name, and what is wrong with it in one line.

twistd answers a UsageError with the whole usage text on stdout and the reason last.  A mistake in a
configuration is not a misuse of twistd, and who reads a unit's log wants the reason alone, so every
mistake behind the word mcmw ends here: one line on stderr, exit code 2.
"""

import os
import pwd
import socket
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

from twisted.application.service import IService
from twisted.python import usage

from multicastmw import __version__
from multicastmw.config import Config, ConfigError, load

BAD_CONFIG = 2  # exit code; the systemd unit does not restart on it


class Options(usage.Options):
    """What stands behind `twistd mcmw`; `config` is there once it was parsed."""

    synopsis = "-c NODE.INI"
    longdesc = (
        "Runs a node of the Multicast Middleware: it opens a TAP device, speaks IGMP with this host's "
        "programs, and carries the groups they join over unicast links to other nodes. "
        "It needs /dev/net/tun and CAP_NET_ADMIN. "
        "With `twistd -n` it stays in the foreground and logs to standard output; SIGTERM or Ctrl-C ends it: "
        "links are closed, the routes to the device are taken back, and the device stays if [tap] "
        "persist says so. SIGHUP, or `mcmw reload`, has it read its configuration again. "
        "`mcmw check NODE.INI` reads a configuration without running anything; `mcmw show` asks a running "
        "node how it does. "
        "A mistake in the command line or in the configuration is one line on standard error and exit code 2."
    )
    optParameters = [
        ["config", "c", None, "The node's configuration, an INI file; etc/node.ini explains every option."],
    ]
    compData = usage.Completions(optActions={"config": usage.CompleteFiles("*.ini")})
    config: Config
    path: str

    def opt_version(self) -> NoReturn:
        """Print the version and exit."""
        sys.stdout.write(f"mcmw {__version__}\n")
        raise SystemExit(0)

    def parseOptions(self, options: list[str] | None = None) -> None:
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            self._give_up(f"mcmw: {' '.join(str(error).split())} (see twistd mcmw --help)")

    def parseArgs(self, *surplus: str) -> None:
        if surplus:
            raise usage.UsageError(f"unexpected argument {surplus[0]!r}; -c gives the file")

    def postOptions(self) -> None:
        if self["config"] is None:
            raise usage.UsageError("-c NODE.INI is missing")
        try:
            self.path = os.path.abspath(self["config"])  # a daemon that reads it again may be anywhere
            self.config = load(self["config"], socket.gethostname())
        except ConfigError as error:
            self._give_up(str(error))
        self._choose_log()

    def _choose_log(self) -> None:
        """twistd makes its log before it makes a service, so the format is said here; --logger goes first."""
        twistd = getattr(self, "parent", None)
        if twistd is None or self.config.log.format != "json" or twistd.get("logger"):
            return
        from multicastmw.services import jsonlog

        in_front = twistd.get("nodaemon") or twistd.get("logfile") == "-"
        jsonlog.logfile = twistd.get("logfile") or (None if in_front else "twistd.log")
        twistd["logger"] = "multicastmw.services.jsonlog.factory"  # a name, as --logger would give it

    def _give_up(self, why: str) -> NoReturn:
        sys.stderr.write(why + "\n")
        raise SystemExit(BAD_CONFIG)


def makeService(options: Options) -> IService:
    """The node that the options describe, not started."""
    # Late, so that --help and a mistake in node.ini do not wait for it.
    from multicastmw.services.errors import CannotStart
    from multicastmw.services.node import make_node

    try:
        node = make_node(options.config, options.path)
    except CannotStart as error:
        sys.stderr.write(f"mcmw: {error}\n")
        raise SystemExit(BAD_CONFIG) from None
    node.owner = _becomes(getattr(options, "parent", None) or {})
    return node


def _becomes(twistd: Mapping[str, Any]) -> tuple[int, int] | None:
    """The user and group that root will be exchanged for (--uid, --gid); with --euid it is not given up."""
    uid, gid = twistd.get("uid"), twistd.get("gid")
    if os.geteuid() or not uid or twistd.get("euid"):
        return None
    try:
        group = pwd.getpwuid(uid).pw_gid
    except KeyError:  # twistd would ask the same, and end in a traceback
        sys.stderr.write(f"mcmw: --uid {uid}: this host has no such user\n")
        raise SystemExit(BAD_CONFIG) from None
    return uid, group if gid is None else gid
