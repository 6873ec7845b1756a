"""Makes docs/tour.rst: what `mcmw` says in a lab with a film, and with things that go wrong.

    python docs/tour.py [FOLDER]        as root; a few minutes

The tree of figure 4: a, c and d dial b.  a sends a film and its node announces it; b, c and d watch.  Then
one thing after the other is broken, the commands that should name it are run, and it is mended.  Nothing of
what they print is changed here, but for paths of this run.
"""

import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from multicastmw.cli import film as films
from multicastmw.cli.lab import Host, Lab, wait_until
from multicastmw.cli.lab.process import Process

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
PREFIX = "mcmw-tour"
DEVICE, PORT = "mcmw0", 4600
GROUP, MEDIA = "239.1.2.3", 5004
PATIENCE = 60.0
FILM_SECONDS = 20.0
JOIN = """
import socket, sys, time
group, address = sys.argv[1:]
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
both = socket.inet_aton(group) + socket.inet_aton(address)
sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, both)
print("joined", flush=True)
time.sleep(3600)
"""

HEAD = """======
A tour
======

What the commands say, on four hosts of one machine (namespaces, as in ``mcmw demo``): *a*, *c* and *d* dial
*b*.  ffmpeg on *a* sends a film to {group}:{media}, which a announces (``[session:Tour]``); programs on
*b*, *c* and *d* receive it.
``docs/tour.py`` made this page, by running the commands; nothing of what they printed was changed.

.. contents::
   :depth: 1

"""


class Tour:
    """The page as it grows."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._text = [HEAD.format(group=GROUP, media=MEDIA)]

    def title(self, title: str, *words: str) -> None:
        click.echo(title, err=True)
        self._text.append("\n".join((title, "=" * len(title), "", *words, "")))

    def say(self, *words: str) -> None:
        self._text.append("\n".join((*words, "")))

    def run(self, host: Host, *arguments: str, code: int = 0, quiet: bool = False) -> str:
        """`mcmw ...` on a host; what it printed goes to the page."""
        done = host.run(asking(host, *arguments), timeout=120)
        printed = (done.stdout + ("" if quiet else done.stderr)).replace(str(self._lab.state_dir), "...")
        if done.returncode != code:
            what = f"{host.name}: mcmw {' '.join(arguments)}: {done.returncode}, not {code}"
            raise SystemExit(f"{what}\n{printed}")
        command = f"{host.name}# mcmw {' '.join(arguments)}".replace(str(self._lab.state_dir), "...")
        lines = [command, *printed.rstrip().splitlines()]
        self._text.append("::\n\n" + "\n".join(f"    {line}".rstrip() for line in lines) + "\n")
        return done.stdout

    def other(self, host: Host, *command: str) -> None:
        done = host.run(list(command), timeout=120)
        lines = [f"{host.name}# {' '.join(command)}", *done.stdout.rstrip().splitlines()[:12]]
        text = "\n".join(f"    {line}".rstrip() for line in lines).replace(str(self._lab.state_dir), "...")
        self._text.append("::\n\n" + text + "\n")

    def quote(self, command: str, printed: str) -> None:
        """What a command printed that was started before."""
        lines = [command, *printed.rstrip().splitlines()]
        self._text.append("::\n\n" + "\n".join(f"    {line}".rstrip() for line in lines) + "\n")

    def write(self, folder: Path) -> None:
        (folder / "tour.rst").write_text("\n".join(self._text))


def asking(host: Host, *arguments: str) -> list[str]:
    """The command line of `mcmw`, asking the host's node."""
    return [str(BIN / "mcmw"), "--socket", str(host.socket), *arguments]


def ini(host: Host, hub: Host) -> str:
    dial = "" if host is hub else f"[peer:{hub.name}]\nendpoint = tcp:{hub.address}:{PORT}\n"
    announced = (
        f"[session:Tour]\ngroup = {GROUP}\nport = {MEDIA}\nname = The tour\ndescription = A film\n"
        if host.name == "a"
        else ""
    )
    return (
        f"[node]\nname = {host.name}\n[tap]\ndevice = {DEVICE}\naddress = 10.88.0.{host.index}/24\n{dial}"
        f"[web]\nendpoint = tcp:8080:interface=127.0.0.1\n{announced}"
    )


def await_status(host: Host, condition: Callable[[dict[str, Any]], bool], what: str) -> None:
    host.await_status(condition, PATIENCE, what)


def peer_is(name: str, state: str) -> Callable[[dict[str, Any]], bool]:
    return lambda status: any(p["name"] == name and p["state"] == state for p in status["peers"])


def wanted_by(group: str, *names: str) -> Callable[[dict[str, Any]], bool]:
    def met(status: dict[str, Any]) -> bool:
        found = {who for g in status["groups"] if g["group"] == group for who in g["wanted_by"]}
        return set(names) <= found

    return met


def passed(group: str, packets: int) -> Callable[[dict[str, Any]], bool]:
    return lambda status: any(r["group"] == group and r["packets"] >= packets for r in status["routes"])


@contextmanager
def ended(process: Process) -> Iterator[Process]:
    try:
        yield process
    finally:
        process.signal(signal.SIGTERM)
        process.wait(PATIENCE)


def film(lab: Lab) -> Path:
    path = lab.state_dir / "film.ts"
    films.draw(path, FILM_SECONDS)
    return path


def play(host: Host, path: Path) -> Process:
    """The film for ever, with a name."""
    return host.spawn([
        films.find_ffmpeg(), "-loglevel", "error", "-re", "-stream_loop", "-1", "-i", str(path),
        "-c", "copy", "-metadata", "service_name=Tour", "-metadata", "service_provider=Lab",
        "-f", "rtp_mpegts", f"rtp://{GROUP}:{MEDIA}?ttl=16&localrtpport=6000",
    ])  # fmt: skip


def receive(host: Host) -> Process:
    return host.spawn(asking(host, "recv", f"{GROUP}:{MEDIA}", "--json"),
                      log=f"{host.name}-recv")  # fmt: skip


def watch(lab: Lab) -> None:
    """c and d receive, as programs do, and b, too."""
    for name in "bcd":
        receive(lab.host(name))
    await_status(lab.host("b"), wanted_by(GROUP, "c", "d", DEVICE), "everybody wants it")
    await_status(lab.host("a"), wanted_by(GROUP, "b"), "b wants it")


def well(tour: Tour, lab: Lab) -> None:
    a, b, c = (lab.host(name) for name in "abc")
    tour.title("All is well", "One screen says what a node does; ``mcmw show`` without an argument:")
    tour.run(b, "show")
    tour.say("The overlay as this node sees it, and what is announced on it:")
    tour.run(c, "show", "tree")
    tour.run(c, "show", "sessions")
    tour.run(c, "sessions", "--format", "m3u")
    tour.say("What is in the streams, and whether they are well.  It looks for some seconds:")
    tour.run(c, "show", "streams", quiet=True)
    tour.say("Who receives the group, asked of every node; how all reach all; and the way of its packets:")
    tour.run(a, "ping", "-c", "2", GROUP, quiet=True)
    tour.run(a, "matrix", quiet=True)
    tour.run(a, "trace", GROUP, quiet=True)
    tour.say("A test stream of one's own, and what of it arrives:")
    test = "239.7.7.7"
    receiver = c.spawn(asking(c, "recv", test), log="c-test")
    await_status(a, wanted_by(test, "b"), "b wants the test stream")
    tour.run(a, "send", test, "--seconds", "3", "--rate", "200")
    receiver.wait(PATIENCE)
    printed = receiver.read_output()
    tour.quote("c# mcmw recv 239.7.7.7", printed)
    tour.say("The packets themselves, for Wireshark:")
    file = str(lab.state_dir / "film.pcapng")
    tour.run(c, "capture", GROUP, "-c", "500", "-w", file)
    tour.other(c, "tshark", "-r", file, "-c", "5", "-d", f"udp.port=={MEDIA},rtp")
    tour.say("And the doctor has nothing to say:")
    tour.run(c, "doctor")


def broken_link(tour: Tour, lab: Lab) -> None:
    b, d = lab.host("b"), lab.host("d")
    tour.title("A link breaks", "Nothing passes between *b* and *d* any more, and nobody says so.")
    lab.internet.black_hole("b", "d")
    b.await_status(lambda status: not peer_is("d", "up")(status), PATIENCE, "d is down at b")
    d.await_status(lambda status: not peer_is("b", "up")(status), PATIENCE, "b is down at d")
    tour.run(d, "show", "peers")
    tour.run(d, "show", "pending")
    tour.run(b, "show", "events")
    tour.run(d, "doctor", code=5)
    lab.internet.heal("b", "d")
    b.await_status(peer_is("d", "up"), PATIENCE, "d is back")
    tour.say("The cable is mended:")
    tour.run(d, "show", "peers")


def loss(tour: Tour, lab: Lab) -> None:
    c = lab.host("c")
    tour.title("A link loses packets", "Of the datagrams between *b* and *c* two in a hundred are lost.")
    lab.internet.lose("b", "c", 20)
    tour.run(c, "show", "streams", quiet=True)
    tour.run(c, "trace", GROUP, quiet=True)
    lab.internet.heal("b", "c")


def wrong_interface(tour: Tour, lab: Lab) -> None:
    b, c = lab.host("b"), lab.host("c")
    group = "239.8.8.8"
    tour.title(
        "A program joins on the wrong interface", "It names the uplink's address, so it hears nothing."
    )
    right = b.spawn(asking(b, "recv", group, "--wait", "120"), log="b-right")
    wrong = c.spawn([sys.executable, "-c", JOIN, group, c.address], log="c-wrong")
    with ended(right), ended(wrong):
        wait_until(lambda: "joined" in wrong.read_output(), PATIENCE, "it joins")
        await_status(c, wanted_by(group, "b"), "b wants it")
        tour.run(c, "doctor")


def low_ttl(tour: Tour, lab: Lab) -> None:
    a, d = lab.host("a"), lab.host("d")
    group = "239.9.9.9"
    tour.title("A program sends with TTL 1", "As VLC and ffmpeg do when nobody tells them otherwise.")
    waiting = a.spawn(asking(a, "recv", group, "--wait", "120"), log="a-ttl")
    await_status(d, wanted_by(group, "b"), "a wants it, behind b")
    sender = d.spawn(asking(d, "send", group, "--ttl", "1", "--seconds", "0"), log="d-ttl")
    with ended(waiting), ended(sender):
        d.await_status(lambda s: any(r["died_of_ttl"] > 50 for r in s["routes"]), PATIENCE, "packets die")
        tour.run(d, "show", "routes")
        tour.run(a, "trace", group, code=0, quiet=True)
        tour.run(d, "doctor", code=5)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    state = Path(tempfile.mkdtemp(prefix=f"{PREFIX}-"))
    state.chmod(0o755)
    with Lab(PREFIX, state) as lab:
        hub = lab.host("b")
        for host in lab.hosts:
            host.start_node(ini(host, hub), ready=PATIENCE)
        for name in "acd":
            await_status(hub, peer_is(name, "up"), f"{name} is up")
        player = play(lab.host("a"), film(lab))
        watch(lab)
        await_status(hub, passed(GROUP, 500), "the film passes")
        tour = Tour(lab)
        with ended(player):
            for part in (well, broken_link, loss, wrong_interface, low_ttl):
                part(tour, lab)
        tour.write(folder)


if __name__ == "__main__":
    main()
