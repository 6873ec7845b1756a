"""A host of the lab: a network namespace with an uplink, the processes in it, the node on it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from multicastmw.cli.client import ControlClient, NodeNotRunning, NodeSilent
from multicastmw.cli.lab.process import Process
from multicastmw.cli.lab.tools import LabError, find_tool, run_tool
from multicastmw.cli.lab.waiting import TimedOut, wait_until

if TYPE_CHECKING:
    from multicastmw.cli.lab.network import Lab

UPLINK = "u0"
StatusCondition = Callable[[dict[str, Any]], bool]
NODE_START = 20.0  # seconds until a node answers: Python and Twisted on a busy machine
# Runs inside the namespace: /proc/sys/net shows whoever looks his own network.
SET_SYSCTL = 'set -e; for pair; do printf %s "${pair#*=}" > "/proc/sys/${pair%%=*}"; done'


class Counters(NamedTuple):
    """What went over an interface since it exists."""

    rx_packets: int
    rx_bytes: int
    tx_packets: int
    tx_bytes: int
    rx_dropped: int
    tx_dropped: int


class Namespace:
    """A network namespace of the lab and what can be done inside it."""

    def __init__(self, lab: "Lab", name: str) -> None:
        self.lab = lab
        self.name = name
        self.namespace = f"{lab.name}-{name}"

    def ip(self, *commands: str) -> None:
        """Runs iproute2 commands in one go, such as "link set lo up"."""
        run_tool(["ip", "-n", self.namespace, "-batch", "-"], "\n".join(commands) + "\n")

    def sysctl(self, values: Mapping[str, object]) -> None:
        """Sets kernel parameters of this namespace, such as {"net.ipv4.ip_forward": 1}."""
        pairs = [f"{name.replace('.', '/')}={value}" for name, value in values.items()]
        run_tool(["ip", "netns", "exec", self.namespace, "sh", "-c", SET_SYSCTL, "sh", *pairs])

    def nft(self, rules: str) -> None:
        """Loads nftables rules."""
        run_tool(["ip", "netns", "exec", self.namespace, find_tool("nft"), "-f", "-"], rules)

    def run(self, command: Sequence[str], timeout: float = 60.0) -> "subprocess.CompletedProcess[str]":
        """Runs a command to its end; its exit code is not judged.  Raises subprocess.TimeoutExpired."""
        return subprocess.run(
            self._inside(command), capture_output=True, text=True, check=False, timeout=timeout,
            stdin=subprocess.DEVNULL, process_group=0,
        )  # fmt: skip

    def spawn(self, command: Sequence[str], log: str = "", title: str = "",
              env: Mapping[str, str] | None = None) -> Process:  # fmt: skip
        """Starts a command; its stdout goes to `LOG.out`, its stderr to `LOG.log` in the state folder.

        Without `log` they are named after the host and the command.
        """
        stem = log or f"{self.name}-{Path(command[0]).name}"
        where = self.lab.state_dir
        with (where / f"{stem}.out").open("wb") as output, (where / f"{stem}.log").open("wb") as errors:
            popen = subprocess.Popen(
                self._inside(command), stdin=subprocess.DEVNULL, stdout=output, stderr=errors,
                start_new_session=True, env={**os.environ, **(env or {})},
            )  # fmt: skip
        process = Process(popen, title or stem, where / f"{stem}.log", where / f"{stem}.out")
        self.lab.own(process)
        return process

    def counters(self, device: str = UPLINK) -> Counters:
        """The interface's counters; raises LabError where there is no such interface."""
        text = run_tool(["ip", "-j", "-s", "-n", self.namespace, "link", "show", "dev", device])
        stats = json.loads(text)[0]["stats64"]
        rx, tx = stats["rx"], stats["tx"]
        return Counters(rx["packets"], rx["bytes"], tx["packets"], tx["bytes"], rx["dropped"], tx["dropped"])

    def _inside(self, command: Sequence[str]) -> list[str]:
        # `ip netns exec` becomes the command: same process number, same start time.
        return [find_tool("ip"), "netns", "exec", self.namespace, *map(str, command)]


class Host(Namespace):
    """Number `index` of the lab's hosts: 10.99.INDEX.2 and fd99:INDEX::2 on u0, default route behind it."""

    def __init__(self, lab: "Lab", name: str, index: int) -> None:
        super().__init__(lab, name)
        self.index = index
        self.address = f"10.99.{index}.2"
        self.address6 = f"fd99:{index}::2"
        self.node: Process | None = None
        self.socket = lab.run_dir / f"{name}.sock"

    # -- the uplink

    def configure(self) -> Iterable[str]:
        """The iproute2 commands that bring the uplink up; they may be given again."""
        return (
            "link set lo up",
            f"link set {UPLINK} mtu 1500 up",
            f"address replace {self.address}/30 dev {UPLINK}",
            f"address replace {self.address6}/64 dev {UPLINK} nodad",
            f"route replace default via 10.99.{self.index}.1",
            f"route replace default via fd99:{self.index}::1",
            *self.lab.internet.at_host(self),
        )

    def link_down(self, device: str = UPLINK) -> None:
        """`ip link set down`: routes and IPv6 addresses of the interface go, as on any host."""
        self.ip(f"link set {device} down")

    def link_up(self, device: str = UPLINK) -> None:
        """The interface up again; the uplink with its addresses and routes."""
        self.ip(*(self.configure() if device == UPLINK else (f"link set {device} up",)))

    def unplug(self) -> None:
        """Pulls the cable: no carrier, but addresses and routes stay."""
        self.lab.internet.carry(self, False)

    def plug(self) -> None:
        self.lab.internet.carry(self, True)

    # -- the node

    def start_node(self, ini: str, ready: float | None = NODE_START) -> Process:
        """Starts a node with this configuration and waits until its control socket answers.

        `[control] socket` is added where the text has none.  `ready=None` does not wait.  Raises LabError
        with the node's last words when it ends, TimedOut when it does not answer.
        """
        if "[control]" not in ini:
            ini = f"{ini.rstrip()}\n\n[control]\nsocket = {self.socket}\n"
        path = self.lab.state_dir / f"{self.name}.ini"
        path.write_text(ini)
        twistd = Path(sys.executable).with_name("twistd")
        if not twistd.exists():
            raise LabError(f"{twistd} is missing: install the package into the Python that runs this command")
        pidfile = self.lab.run_dir / f"{self.name}.pid"
        pidfile.unlink(missing_ok=True)  # of a node that was killed
        command = [str(twistd), "--nodaemon", f"--pidfile={pidfile}", "mcmw", "-c", str(path)]
        self.node = self.spawn(command, log=f"{self.name}-node", title=f"node {self.name}")
        if ready is not None:
            self.await_status(lambda status: True, ready, "its control socket")
        return self.node

    def status(self) -> dict[str, Any]:
        """The node's status snapshot; raises a ControlError."""
        return ControlClient(self.socket).get("/status")

    def await_status(self, condition: StatusCondition, timeout: float, what: str) -> dict[str, Any]:
        """The first status that meets the condition.  Raises LabError when the node ends meanwhile."""

        def look() -> dict[str, Any] | None:
            if self.node is not None and (code := self.node.poll()) is not None:
                raise LabError(f"node {self.name} ended with code {code}: {self.node.last_words()}")
            try:
                status = self.status()
            except (NodeNotRunning, NodeSilent):
                return None
            return status if condition(status) else None

        found = wait_until(look, timeout, f"node {self.name}: {what}")
        assert found is not None  # wait_until gives nothing that is false
        return found

    def stop_node(self, timeout: float = 10.0) -> int:
        """SIGTERM, as an operator would; gives the exit code.  Raises TimedOut when the node stays."""
        if self.node is None:
            raise LabError(f"no node was started on {self.name}")
        node, self.node = self.node, None
        node.signal(signal.SIGTERM)
        try:
            return node.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise TimedOut(f"node {self.name} ignores SIGTERM for {timeout:g} s") from error

    def kill_node(self) -> None:
        """SIGKILL: a crash."""
        if self.node is not None:
            self.node.kill()
            self.node = None
