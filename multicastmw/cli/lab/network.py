"""Hosts as network namespaces of one machine, and an internet between them that carries no multicast.

        a --+           +-- c      every host: u0, 10.99.K.2/30 and fd99:K::2/64, MTU 1500,
            +- internet -+         default route through the internet; K = 1, 2, ...
        b --+           +-- d      the internet: an IP router without multicast routing

Nothing here touches the machine's own network: interfaces are born inside the namespaces.
"""

import contextlib
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType, TracebackType

from multicastmw.cli.lab import registry
from multicastmw.cli.lab.host import UPLINK, Host, Namespace
from multicastmw.cli.lab.process import Process
from multicastmw.cli.lab.tools import LabError, NotPossibleHere, find_tool, run_tool
from multicastmw.cli.signals import go_to

MAX_HOSTS = 254
ENDINGS = (signal.SIGTERM, signal.SIGHUP)
INTERNET = "internet"  # the namespace's name; a host cannot have it
# Nobody else has our addresses: an interface that came up can be used at once, without DAD's second.
COMMON_SYSCTL = {"net.ipv6.conf.all.accept_dad": 0, "net.ipv6.conf.default.accept_dad": 0}
# A router; its cables keep their IPv6 addresses when they are pulled.
ROUTER_SYSCTL = {
    **COMMON_SYSCTL,
    "net.ipv4.ip_forward": 1,
    "net.ipv6.conf.all.forwarding": 1,
    "net.ipv6.conf.all.keep_addr_on_down": 1,
    "net.ipv6.conf.default.keep_addr_on_down": 1,
}
# Hosts with fixed addresses, silent while nobody speaks: what a test counts is what a node sent.
HOST_SYSCTL = {
    **COMMON_SYSCTL,
    "net.ipv6.conf.default.accept_ra": 0,
    "net.ipv6.conf.default.router_solicitations": 0,
}


class Ended(SystemExit):
    """A signal asks this process to end; the lab goes first."""


class Internet(Namespace):
    """The router between the hosts, and what may go wrong on the way between two of them.

    Rules stand here and not on the hosts: a host that drops its own packets gets an error from `send`, on the
    internet they just vanish.
    """

    def __init__(self, lab: "Lab") -> None:
        super().__init__(lab, INTERNET)
        self._rules: dict[frozenset[str] | str, list[str]] = {}
        self._is_cut = False

    # -- the cables

    def connect(self, hosts: Iterable[Host]) -> None:
        """Every host gets its uplink, not configured yet."""
        self.sysctl(ROUTER_SYSCTL)
        cables = ["link set lo up"]
        for host in hosts:
            end = f"to-{host.name}"
            cables += [
                f"link add {end} type veth peer name {UPLINK} netns {host.namespace}",
                f"address add 10.99.{host.index}.1/30 dev {end}",
                f"address add fd99:{host.index}::1/64 dev {end} nodad",
                f"link set {end} mtu 1500 up",
            ]
        self.ip(*cables)

    def at_host(self, host: Host) -> Iterable[str]:
        """What else a host's uplink needs, as commands to iproute2."""
        return ()

    def carry(self, host: Host, plugged: bool) -> None:
        """The host's cable, plugged or not."""
        self.ip(f"link set to-{host.name} {'up' if plugged else 'down'}")

    # -- what may go wrong

    def block_udp(self, one: str, other: str) -> None:
        """A firewall between two hosts that lets no UDP through."""
        self._forward(one, other, "meta l4proto udp drop")

    def black_hole(self, one: str, other: str) -> None:
        """Nothing gets through between two hosts, and nobody says so."""
        self._forward(one, other, "drop")

    def lose(self, one: str, other: str, permille: int, protocol: str = "udp") -> None:
        """That many of 1,000 packets of a protocol are lost at random, each way."""
        self._one_by_one()
        self._forward(one, other, f"meta l4proto {protocol} numgen random mod 1000 < {permille} drop")

    def drop(self, which: str) -> None:
        """Packets between any hosts, by an expression of nft's."""
        self._one_by_one()
        self._rules.setdefault(which, []).append(f"{which} drop")
        self._load()

    def hang_up(self, one: str, other: str) -> None:
        """Nothing gets through between two hosts, and who tries TCP is told so by a reset."""
        self._forward(one, other, "meta l4proto tcp reject with tcp reset")
        self._forward(one, other, "drop")

    def heal(self, one: str = "", other: str = "") -> None:
        """Takes back what was done between two hosts, else all of it; what was cut up still is."""
        for of in [frozenset((one, other))] if one else list(self._rules):
            self._rules.pop(of, None)
        self._load()

    def _one_by_one(self) -> None:
        """What hosts send in runs (UDP_SEGMENT, TSO) is cut up before their cables, as by a network card.

        Else a run crosses all of the lab as one packet, and what loses one of 100 packets loses whole runs.
        """
        if self._is_cut:
            return
        self._is_cut = True
        for host in self.lab.hosts:
            host.ip(f"link set {UPLINK} gso_max_segs 1")

    def _forward(self, one: str, other: str, rule: str) -> None:
        a, b = self.lab.host(one), self.lab.host(other)
        rules = self._rules.setdefault(frozenset((one, other)), [])
        for x, y in ((a, b), (b, a)):
            rules.append(f"ip saddr {x.address} ip daddr {y.address} {rule}")
            rules.append(f"ip6 saddr {x.address6} ip6 daddr {y.address6} {rule}")
        self._load()

    def _load(self) -> None:
        """All rules at once, as nft does it: what stays is never away."""
        chain = "table inet lab {\n chain forward {\n  type filter hook forward priority 0;\n }\n}\n"
        rules = [rule for rules in self._rules.values() for rule in rules]
        lines = "".join(f"add rule inet lab forward {rule}\n" for rule in rules)
        self.nft(f"{chain}flush chain inet lab forward\n{lines}")


class Lab:
    """The lab, as a context: hosts are there inside, and everything is gone after it, however it is left.

    `prefix` begins the namespaces' names and marks what an earlier run with the same prefix left behind;
    `state_dir` receives logs and configurations and stays.  SIGTERM and SIGHUP end the process through
    the context's end (in the main thread).  `internet` makes what is between the hosts.
    """

    host_type = Host

    def __init__(self, prefix: str, state_dir: str | Path, hosts: Iterable[str] = "abcd",
                 internet: "Callable[[Lab], Internet]" = Internet) -> None:  # fmt: skip
        names = list(hosts)
        if len(set(names)) != len(names) or INTERNET in names or not 1 <= len(names) <= MAX_HOSTS:
            raise ValueError(f"hosts want 1 to {MAX_HOSTS} different names, none of them {INTERNET}: {names}")
        self.prefix = prefix
        self.state_dir = Path(state_dir).absolute()
        self._names = names
        self._internet_type = internet
        self._hosts: dict[str, Host] = {}
        self._processes: list[Process] = []
        self._entry: registry.Entry | None = None
        self._exits = contextlib.ExitStack()
        self._kept = False

    # -- the life of a lab

    def __enter__(self) -> "Lab":
        find_tool("ip")
        self.state_dir.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as undo:
            undo.enter_context(_signals_end())
            try:
                self._entry = registry.enter(self.prefix)
            except PermissionError as error:
                raise NotPossibleHere(f"{error.filename}: permission denied; the lab needs root") from error
            undo.callback(self._end)
            self._build()
            self._exits = undo.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self._exits.close()

    def keep(self) -> None:
        """Everything stays when the context ends, until `take_down(prefix)`."""
        self._kept = True

    def _end(self) -> None:
        if self._entry is None:
            return
        entry, self._entry = self._entry, None
        if self._kept:
            entry.record.kept = True
            entry.save()
            entry.let_go()
            return
        with _deaf():
            entry.remove()
            for process in self._processes:
                process.poll()  # reap

    # -- what is in it

    @property
    def entry(self) -> registry.Entry:
        if self._entry is None:
            raise LabError("the lab is not up")
        return self._entry

    @property
    def name(self) -> str:
        """The prefix and four digits of this run."""
        return self.entry.record.name

    @property
    def run_dir(self) -> Path:
        """A short path for sockets; gone with the lab."""
        return self.entry.folder

    def host(self, name: str) -> Host:
        try:
            return self._hosts[name]
        except KeyError:
            raise LabError(f"no host {name!r}; there are {', '.join(self._hosts)}") from None

    @property
    def hosts(self) -> list[Host]:
        return list(self._hosts.values())

    def own(self, process: Process) -> None:
        """Remembers a process, on disk too, so that it ends with the lab or before the next one."""
        self._processes.append(process)
        record = self.entry.record
        # Those that ended are forgotten: a long test starts thousands.
        record.processes = [known.identity for known in self._processes if known.poll() is None]
        self.entry.save()

    def lan(self, device: str = "lan0", network: str = "10.88.0") -> None:
        """A real Ethernet between all hosts, which floods multicast: what a node is compared with.

        Every host gets `device` with the address NETWORK.K/24 and the route to 224.0.0.0/4.
        """
        lines = ["link add lan type bridge mcast_snooping 0", "link set lan up"]
        for host in self.hosts:
            port = f"lan-{host.name}"
            lines.append(f"link add {port} type veth peer name {device} netns {host.namespace}")
            lines.append(f"link set {port} master lan up")
        self.internet.ip(*lines)
        for host in self.hosts:
            host.ip(
                f"link set {device} up",
                f"address add {network}.{host.index}/24 dev {device}",
                f"route add 224.0.0.0/4 dev {device}",
            )

    def _build(self) -> None:
        self.internet = self._internet_type(self)
        self._hosts = {name: self.host_type(self, name, index) for index, name in enumerate(self._names, 1)}
        self._make_namespaces()
        for host in self.hosts:
            host.sysctl(HOST_SYSCTL)
        self.internet.connect(self.hosts)
        for host in self.hosts:
            host.ip(*host.configure())

    def _make_namespaces(self) -> None:
        everyone: list[Namespace] = [self.internet, *self.hosts]
        self.entry.record.namespaces = [place.namespace for place in everyone]
        self.entry.save()
        try:
            run_tool(["ip", "-batch", "-"], "".join(f"netns add {place.namespace}\n" for place in everyone))
        except LabError as error:
            raise NotPossibleHere(
                f"no network namespaces here ({error}): run as root, in a container with --privileged"
            ) from error


@contextlib.contextmanager
def _signals_end() -> Iterator[None]:
    """SIGTERM and SIGHUP leave through Ended, so that every context on the way ends."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise Ended(128 + number)

    with go_to(leave, ENDINGS):  # not in another thread: whoever owns the main one ends it
        yield


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """A second Ctrl-C waits until everything is removed, which is a matter of a few seconds."""
    heard: list[int] = []
    try:
        with go_to(lambda number, _: heard.append(number), (signal.SIGINT, *ENDINGS)):
            yield
    finally:
        if heard:
            signal.raise_signal(heard[0])


def take_down(prefix: str) -> list[str]:
    """Removes the kept and orphaned labs of a prefix; gives their names."""
    return registry.take_down(prefix)
