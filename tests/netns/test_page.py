"""The page before running nodes: it shows what `mcmw show --json` says, and what breaks is seen at once."""

import json
import sys
import time
from typing import Any

from multicastmw.cli.lab import Host, wait_until
from tests import browser as browsers
from tests.netns.kit import (
    DEVICE,
    MEDIA,
    PATIENCE,
    NetnsTestCase,
    Receiver,
    Sender,
    await_linked,
    await_wanted,
    mcmw,
    node_ini,
    why_not,
)

WEB = 8080
SECTIONS = {"web": {"endpoint": f"tcp:{WEB}:interface=127.0.0.1"}}
URL = f"http://127.0.0.1:{WEB}/"
GROUP, ALONE, DYING = "239.1.1.1", "239.1.1.2", "239.1.1.3"
MARKUP = "<b>c"  # a node's name
SEEN_WITHIN = 2.0  # seconds


class Page(NetnsTestCase):
    """a and c dial b, and a browser on b looks at b's node."""

    skip = why_not("setpriv") or browsers.why_not()

    def setUp(self) -> None:
        self.lab = self.make_lab("abc")
        self.a, self.b, self.c = self.lab.hosts
        self.starts(self.b)
        self.starts(self.a)
        self.starts(self.c, {"node": {"name": MARKUP}})
        await_linked(self.b, ["a", MARKUP])
        self.browser = browsers.Browser(self.b, self.lab.state_dir)
        self.addCleanup(self.browser.close)
        self.browser.go(URL)
        self.browser.until("document.querySelectorAll('.lane').length === 2", "the links of b")

    def starts(self, host: Host, sections: Any = None) -> None:
        dials = () if host is self.b else (self.b,)
        host.start_node(node_ini(host, dials, SECTIONS | (sections or {})))

    def shown(self) -> dict[str, Any]:
        code, out, _ = mcmw(self.b, "show", "--json")
        assert code == 0
        found: dict[str, Any] = json.loads(out)
        return found

    def rows(self, tab: str) -> list[list[str]]:
        """The cells of a view's first table, as they are seen."""
        self.browser.click(f"#tab-{tab}")
        found: list[list[str]] = self.browser.ask(
            f"[...document.querySelector('#panel-{tab} table').querySelectorAll('tbody tr')]"
            ".map(row => [...row.cells].map(cell => cell.innerText.trim()))"
        )
        return found

    def play(self) -> Sender:
        receiver = Receiver(self.c, GROUP)
        await_wanted(self.b, {MARKUP}, GROUP)
        await_wanted(self.a, {"b"}, GROUP)
        sender = Sender(self.a, GROUP, rate=200)
        receiver.await_state(lambda state: receiver.report(GROUP, sender.source)["received"] > 50, "a stream")
        return sender

    def test_what_it_shows_is_what_the_command_says(self) -> None:
        self.play().stop()
        self.browser.until(
            "(document.querySelector('#tab-streams').click(),"
            f" document.querySelector('#panel-streams').innerText.includes('{GROUP}'))",
            "the stream",
        )

        def agrees() -> bool:
            """The counts stand still now, but those of the links' own messages do not count here."""
            status = self.shown()
            peers = {peer["name"]: peer["state"] for peer in status["peers"]}
            links = {row[1]: row[2] for row in self.rows("nodes")}
            groups = {(group["group"], ", ".join(group["wanted_by"])) for group in status["groups"]}
            routes = {
                (route["group"], route["source"], str(route["died_of_ttl"]), ", ".join(route["to"]))
                for route in status["routes"]
            }
            return (
                peers == links
                and groups == {(row[0].split()[-1], row[2]) for row in self.rows("groups")}
                and routes == {(row[1].split()[-1], row[2], row[8], row[11]) for row in self.rows("streams")}
            )

        wait_until(agrees, PATIENCE, "the page as the command has it")
        self.browser.click("#panel-streams tbody tr")

        def counts() -> bool:
            """The kernel's counts come to the page with its next message only."""
            route = next(route for route in self.shown()["routes"] if route["group"] == GROUP)
            said = self.browser.text("#inspector-facts")
            return f"packets\n{route['packets']:,}\nbytes\n{route['bytes']:,}\n" in said

        wait_until(counts, PATIENCE, "the stream's figures as the command has them")
        self.assertEqual([], self.browser.complaints)

    def test_a_stream_that_is_opened_is_looked_at_and_its_health_is_said(self) -> None:
        sender = self.play()
        self.assertEqual([0], [each["watched_for"] or 0 for each in self.streams()])
        self.browser.click("#tab-streams")
        self.browser.until("!!document.querySelector('#panel-streams tbody tr')", "the stream")
        self.browser.click("#panel-streams tbody tr")
        self.browser.until(
            "/health\\s+ok/.test(document.querySelector('#inspector-facts').innerText)", "that it is well"
        )
        wait_until(  # where the node was too busy in between it says so
            lambda: [each["health"] for each in self.streams()] == ["ok"], PATIENCE, "the same by the command"
        )
        self.assertTrue(self.shown()["routes"] and not sender.process.poll())
        self.assertEqual([], self.browser.complaints)

    def streams(self) -> list[dict[str, Any]]:
        return [each for each in self.shown()["streams"] if each["group"] == GROUP]

    def test_who_watches_over_http_and_with_what_address(self) -> None:
        self.play()
        url = f"{URL}udp/{GROUP}:{MEDIA}"
        read = f"import urllib.request as r; a = r.urlopen({url!r})\nwhile a.read(1316): pass"
        self.b.spawn([sys.executable, "-Ic", read], log="b-player")
        self.browser.click("#tab-sessions")
        self.browser.until("document.querySelectorAll('#watched tbody tr').length", "who watches")
        (output,) = self.shown()["outputs"]
        self.assertEqual(["127.0.0.1"], output["viewers"])
        row = self.browser.ask(
            "[...document.querySelector('#watched tbody tr').cells].map(each => each.innerText)"
        )
        self.assertEqual([f"{GROUP}:{MEDIA}", "/udp/", "any", str(output["clients"]), "127.0.0.1"], row[:5])
        self.assertEqual([], self.browser.complaints)

    def test_announcements_that_are_refused_are_counted(self) -> None:
        send = (
            "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 16)\n"
            "for n in range(7): s.sendto(b'nonsense', ('224.2.127.254', 9875))"
        )
        self.assertEqual(0, self.b.run([sys.executable, "-Ic", send]).returncode)
        self.browser.click("#tab-sessions")
        self.browser.until("document.querySelector('#sap-refused').checkVisibility()", "what was refused")
        self.assertEqual(7, self.shown()["counters"]["sap_malformed"])
        said = "Announcements that are not kept: 7 that are none"
        self.browser.until(f"document.querySelector('#sap-refused').innerText === {json.dumps(said)}", said)

    def test_of_very_many_it_says_how_many_more_there_are(self) -> None:
        self.b.stop_node()
        pins = " ".join(f"239.7.{number >> 8}.{number & 255}" for number in range(1_100))
        self.starts(self.b, {"groups": {"pin": pins}})
        await_linked(self.b, ["a", MARKUP])
        self.browser.go(URL)
        self.browser.until("document.querySelectorAll('.lane').length === 2", "the links of b")
        self.browser.click("#tab-groups")
        counters = self.shown()["counters"]
        more, listed = counters["groups_not_shown"], len(self.shown()["groups"])
        self.assertEqual((1_024, 4), (listed, counters["groups_of_nodes"]))
        self.assertGreaterEqual(more, 1_100 + 4 - 1_024)
        self.assertEqual(f"and {more} more, which are not shown", self.browser.text("#panel-groups .more"))
        self.assertEqual(str(listed + more), self.browser.text("#n-groups"))
        self.assertEqual(str(listed + more - 4), self.browser.text("#f-groups"))

    def test_groups_of_the_nodes_own_are_not_counted_as_wanted(self) -> None:
        groups = self.shown()["groups"]
        self.assertEqual(4, len(groups))
        self.browser.until("document.querySelector('#f-groups').innerText === '0'", "that nobody listens")
        wanted = {row[0]: (row[2], row[4]) for row in self.rows("groups")}
        self.assertEqual({"nodes"}, {how for _, how in wanted.values()}, wanted)
        Receiver(self.b, GROUP)
        self.browser.until("document.querySelector('#f-groups').innerText === '1'", "one who does")

    def test_a_link_that_breaks_is_seen_within_two_seconds(self) -> None:
        self.a.kill_node()
        began = time.monotonic()
        self.browser.until(
            "/a is down/.test(document.querySelector('#attention-list').innerText)"
            " || document.querySelectorAll('.lane').length === 1",
            "that a is gone", SEEN_WITHIN,
        )  # fmt: skip
        self.measured("seconds until it was seen", round(time.monotonic() - began, 2))
        self.starts(self.a)
        self.browser.until(
            "document.querySelectorAll('.lane[data-state=up]').length === 2", "that it is back"
        )

    def test_names_with_markup_are_text(self) -> None:
        self.assertIn(MARKUP, self.browser.texts(".card.peer .name"))
        self.assertEqual(0, self.browser.ask("[...document.querySelectorAll('main b b')].length"))
        self.assertEqual([], self.browser.complaints)

    def test_who_does_not_get_it_and_why(self) -> None:
        Sender(self.b, ALONE, rate=50)
        receiver = Receiver(self.c, DYING)
        await_wanted(self.b, {MARKUP}, DYING)
        Sender(self.b, DYING, rate=50, ttl=1)
        self.browser.until(
            f"/{DYING} dies of its TTL/.test(document.querySelector('#attention-list').innerText)", "the TTL"
        )
        self.browser.until(
            f"/{ALONE} is sent to nobody/.test(document.querySelector('#attention-list').innerText)", "nobody"
        )
        self.assertEqual({}, receiver.streams())

    def test_nothing_is_asked_of_anybody_but_the_node(self) -> None:
        self.play()
        self.browser.until("document.querySelectorAll('.strand').length", "a stream along the links")
        for tab in ("sessions", "streams", "groups", "nodes", "events", "tree"):
            self.browser.click(f"#tab-{tab}")
        others = [url for url in self.browser.requests if not url.startswith((URL, "about:"))]
        self.assertEqual([], others)
        self.assertEqual([], self.browser.complaints)

    def test_without_a_viewer_it_costs_nothing_and_a_reload_finds_the_events(self) -> None:
        before = self.browser.until("document.querySelectorAll('#now-events li').length", "events")
        self.browser.reload()
        self.browser.until(
            f"document.querySelectorAll('#now-events li').length >= {before}", "the same events"
        )
        self.browser.click("#tab-tree")
        self.assertIn(DEVICE, self.browser.text(".card.root"))
