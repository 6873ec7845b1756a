"""The gateway's show: VLC on hosts that run no node, behind a bridge, sends a film to a node elsewhere, and
plays one from there.  What counts is what test_vlc.py counts."""

import time

import pytest

from multicastmw.cli import film as films
from multicastmw.cli.lab import Host
from tests.netns.kit import DEVICE, PATIENCE, await_linked, node_ini, route_of, wanters
from tests.netns.lan import PORT, SWITCH, Lan, gateway_ini
from tests.netns.test_lan import MCMW, await_state
from tests.netns.test_vlc import FRAMES, GROUP, NAME, SECONDS, UNSENT, VlcCase
from tests.netns.vlc import Reference, Sent, Watcher, sending


@pytest.mark.xdist_group("vlc")  # two at once starve each other
class LanVlcTests(VlcCase):
    """h, i: hosts of a LAN; g: its gateway; a: a node elsewhere."""

    def build(self) -> None:
        self.lab = self.make_lab(["a", "g", "h", "i", SWITCH])
        self.a, self.g, self.h, self.i, _ = self.lab.hosts
        self.lan = Lan(self.lab, [self.g], [self.h, self.i])
        self.a.start_node(node_ini(self.a), ready=None)
        self.g.start_node(gateway_ini(self.g, [self.a]), ready=None)
        await_linked(self.g, "a")
        await_state(self.g, "forwarding")

    def test_vlc_behind_the_bridge_plays_what_is_sent_elsewhere(self) -> None:
        self.until_vlc_keeps_up(self.to_the_lan)

    def test_vlc_behind_the_bridge_sends_to_a_node_elsewhere(self) -> None:
        self.until_vlc_keeps_up(self.from_the_lan)

    def to_the_lan(self) -> None:
        self.build()
        self.attempt(self.a, DEVICE, [Watcher(host, PORT) for host in (self.h, self.i)])

    def from_the_lan(self) -> None:
        self.build()
        self.attempt(self.h, PORT, [Watcher(self.a)])

    def attempt(self, sender: Host, device: str, viewers: list[Watcher]) -> None:
        sent, joined = self.perform(sender, device, viewers)
        self.judge({viewer.host.name: viewer for viewer in viewers}, sent, joined)

    def perform(self, host: Host, device: str, viewers: list[Watcher]) -> tuple[Sent, dict[str, float]]:
        """Sends the film; gives what was sent, and when the viewers had joined."""
        film = self.lab.state_dir / "film.ts"
        films.draw(film, SECONDS)
        reference = Reference(host, GROUP, device)
        for viewer in viewers:
            viewer.await_ready()
        upstream = self.a if host is self.a else self.g
        upstream.await_status(lambda s: wanters(s, "239.255.255.255") & {"a", "g"}, PATIENCE, "SAP wanted")
        sender = sending(host, film, GROUP, NAME, device)
        joined = {}
        for viewer in viewers:
            viewer.play(viewer.await_session(NAME))
            self.await_join(viewer.host)
            joined[viewer.host.name] = time.monotonic()
        if host is self.a:
            self.shows_its_hosts()
        self.assertEqual(0, sender.wait(SECONDS + PATIENCE))
        self.await_quiet(viewers)
        for viewer in viewers:
            viewer.stop()
        self.await_quiet(viewers)
        reference.stop()
        self.same_packets(reference.state)
        sent = reference.frames()
        self.assertGreater(len(sent.pictures), FRAMES - UNSENT)
        return sent, joined

    def await_join(self, host: Host) -> None:
        if host is self.a:
            self.a.await_status(lambda status: DEVICE in wanters(status, GROUP), PATIENCE, "VLC's join")
            return
        address = self.lan.address(host)
        self.g.await_status(
            lambda s: any(address in g["hosts"] for g in s["groups"] if g["group"] == GROUP),
            PATIENCE,
            "VLC's join",
        )

    def shows_its_hosts(self) -> None:
        shown = self.g.run([*MCMW, "--socket", str(self.g.socket), "show", "groups"]).stdout
        (line,) = (line for line in shown.splitlines() if line.startswith(GROUP))
        self.measured("mcmw show groups, at the gateway", line)
        for host in (self.h, self.i):
            self.assertIn(self.lan.address(host), line)

    def same_packets(self, recorded: dict) -> None:
        """The nodes' own view: what the LAN, or a, has sent once somebody wanted it came to the other."""
        origin = max((route_of(n.status(), GROUP) for n in (self.a, self.g)), key=lambda r: r["packets"])
        self.assertEqual(recorded["packets"] + recorded["control"], origin["packets"])
        streams = [s for n in (self.a, self.g) for s in route_of(n.status(), GROUP)["streams"]]
        wanted = origin["packets"] - origin["to_nobody"]
        counts = [(s["received"], s["lost"], s["duplicates"], s["reordered"]) for s in streams]
        self.assertEqual([(wanted, 0, 0, 0)], counts)
        self.measured("packets sent, and received at the other end", (origin["packets"], wanted))
