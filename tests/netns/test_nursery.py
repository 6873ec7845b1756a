"""A node that was forked in the nursery is what a new process would be, as far as anybody can see."""

import contextlib
import os
import signal
from pathlib import Path
from typing import Any
from unittest import mock

from multicastmw.cli.lab import Host
from tests.netns.kit import PATIENCE, NetnsTestCase, await_linked, node_ini


class NurseryTests(NetnsTestCase):
    def test_it_is_what_a_new_process_is(self) -> None:
        a, b = self.make_lab("ab").hosts
        a.start_node(node_ini(a))
        with mock.patch.dict(os.environ, MCMW_NURSERY="no"):
            b.start_node(node_ini(b, [a]))
        await_linked(a, "b")
        await_linked(b, "a")
        self.assertIn(b"nursery.py", self.command(a))
        self.assertNotIn(b"nursery.py", self.command(b))
        self.assertEqual(self.facts(a), self.facts(b))
        self.assertEqual([-signal.SIGTERM] * 2, [a.stop_node(), b.stop_node()])

    def command(self, host: Host) -> bytes:
        return self.proc(host).joinpath("cmdline").read_bytes()

    def proc(self, host: Host) -> Path:
        assert host.node
        return Path("/proc", str(host.node.pid))

    def facts(self, host: Host) -> dict[str, Any]:
        """Where it is, what it holds, and whose it is."""
        proc = self.proc(host)
        pid = int(proc.name)
        status = dict(
            line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line
        )
        opened = set()
        for name in os.listdir(proc / "fd"):
            with contextlib.suppress(FileNotFoundError):  # a connection that has ended meanwhile
                opened.add(os.readlink(proc / "fd" / name).partition(":")[0])
        return {
            "network": (proc / "ns/net").stat().st_ino == Path("/run/netns", host.namespace).stat().st_ino,
            "interfaces": sorted(os.listdir(proc / "root/sys/class/net")),
            "session": os.getsid(pid) == pid,
            "folder": os.readlink(proc / "cwd"),
            "descriptors": {what for what in opened if not what.startswith("/tmp")},
            "masks": [status[name] for name in ("SigBlk", "SigIgn", "CapEff", "NoNewPrivs", "Umask")],
            "limits": (proc / "limits").read_text(),
        }

    def test_its_mistakes_are_exit_codes_and_words(self) -> None:
        (a,) = self.make_lab("a").hosts
        node = a.start_node("[tap]\ndevise = x\n", ready=None)
        self.assertEqual(2, node.wait(PATIENCE))
        self.assertIn("devise", node.last_words())
        a.node = None
