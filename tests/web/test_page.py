"""The page in a browser, with a status that has much in it: what is seen, reached and asked for.

The same page before running nodes is in tests/netns/test_page.py; how many pictures a second, in
bench/page.py.
"""

import copy
import json
import random
import subprocess
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.cli.film import find_ffmpeg
from multicastmw.cli.lab import wait_until
from multicastmw.web.changes import difference
from tests.browser import PATIENCE, shared, why_not
from tests.web.sites import Served
from tests.web.synthetic import BITS, NASTY, Node

ROOT = Path(__file__).parents[2]
TABS = ("tree", "sessions", "streams", "groups", "nodes", "events")
SHOWN = (
    "Array.from(document.querySelectorAll('button, a[href], input')).filter(each => each.checkVisibility())"
)
# A name for an element, the same for the same one.
NAME = """(each => { window.whos ??= new Map();
    const words = each.id || each.textContent.slice(0, 30);
    if (!window.whos.has(each)) window.whos.set(each, `${window.whos.size} ${each.tagName} ${words}`);
    return window.whos.get(each); })"""
WHO = f"(at => at === document.body ? 'body' : {NAME}(at))(document.activeElement)"


class PageCase(SynchronousTestCase):
    """A site, and a browser that looks at it."""

    skip = why_not()
    nodes, groups = 30, 20

    def setUp(self) -> None:
        self.served = Served(self.nodes, self.groups, 0, *self.more())
        self.addCleanup(lambda: self.served.stop())  # noqa: PLW0108  a test may put another there
        self.browser = shared()
        self.opens()

    def more(self) -> list[str]:
        """What the site is told besides."""
        return []

    def opens(self) -> None:
        self.browser.go(self.served.url)
        self.browser.until("document.querySelectorAll('.lane').length", "the tree")

    def tab(self, name: str) -> None:
        self.browser.click(f"#tab-{name}")

    def focus(self) -> str:
        return str(self.browser.ask(WHO))


class Much(PageCase):
    nodes, groups = 300, 500

    def test_all_of_it_is_shown_and_nothing_of_it_is_made_again(self) -> None:
        browser = self.browser
        self.assertEqual(12, browser.ask("document.querySelectorAll('.card.peer').length"))
        # Those behind the link that is down are not reached.
        chips = browser.ask("document.querySelectorAll('.chip').length")
        self.assertEqual(sum(len(names) - 1 for names in Node(300, 1).behind.values()) - 24, chips)
        for tab, rows in (("groups", 500), ("streams", 500)):
            self.tab(tab)
            self.assertEqual(rows, browser.ask(f"document.querySelectorAll('#panel-{tab} tbody tr').length"))
        browser.ask("""(() => { window.added = 0; window.changes = 0;
            new MutationObserver(found => found.forEach(each => {
                window.changes += 1;
                window.added += [...each.addedNodes].filter(node => node.nodeType === 1).length; }))
            .observe(document.querySelector('#panel-streams'),
                {childList: true, characterData: true, subtree: true}); })()""")
        browser.until("window.changes > 100", "rates that change")
        self.assertEqual(0, browser.ask("window.added"))

    def test_a_rate_is_the_node_s_and_a_chart_is_what_the_counters_say(self) -> None:
        self.tab("streams")
        self.assertEqual("1.87 Mbit/s", self.browser.text("#panel-streams tr:nth-child(2) td:nth-child(6)"))
        self.browser.click("#panel-streams tbody tr:nth-child(2)")
        chart = "document.querySelector('#inspector .chart .key b').innerText"
        said = self.browser.until(f"{chart}.includes('Mbit/s') && {chart}", "a rate in the chart")
        self.assertLess(abs(float(said.split()[0]) - BITS * 4 / 3 / 1e6), 0.1)


class Seen(PageCase):
    def test_what_is_wrong_stands_on_top_with_its_reason(self) -> None:
        for words in (
            "is down", "connection refused", "dies of its TTL", "ttl-floor", "is sent to nobody",
            "no join for it has come", "is denied here", "loses packets", "the way to", "a warning about",
        ):  # fmt: skip
            self.browser.until(
                f"document.querySelector('#attention-list').innerText.includes({json.dumps(words)})", words
            )
        order = self.browser.ask(
            "[...document.querySelectorAll('#attention-list li')].map(each => each.dataset.light)"
        )
        self.assertEqual(sorted(order, key=["bad", "warn", "note"].index), order)
        self.assertTrue(self.browser.ask("document.title.startsWith('■')"))

    def test_names_with_markup_and_escapes_are_shown_as_text(self) -> None:
        shown = NASTY.replace("\x1b", "?").replace("\u202e", "?")
        self.assertIn(shown, self.browser.texts(".card.peer .name"))
        for tab in TABS:
            self.tab(tab)
            self.assertIn(shown, self.browser.text(f"#panel-{tab}") if tab in ("nodes", "events") else shown)
        self.browser.click("#tab-nodes")
        self.browser.click("#panel-nodes tbody tr")
        self.browser.until("!document.querySelector('#inspector').hidden", "the inspector")
        self.assertEqual(1, self.browser.ask("document.querySelectorAll('img').length"))
        self.assertEqual([], self.browser.complaints)

    def test_a_session_is_there_with_its_light_its_preview_and_the_files_of_players(self) -> None:
        self.tab("sessions")
        row = "#panel-sessions tbody tr:nth-child(2)"
        self.browser.until(
            f"document.querySelector('{row}')?.innerText.includes('Mbit/s')", "a session's rate"
        )
        self.assertEqual("Programme 1 239.1.1.1:5004", self.browser.text(f"{row} td:nth-child(3)"))
        self.assertEqual("2 continuity errors on the way", self.browser.ask(
            f"document.querySelector('{row} .light').getAttribute('aria-label')"))  # fmt: skip
        files = self.files(row)
        named = [[".m3u", ".m3u"], ["over HTTP", "-http.m3u"], [".sdp", ".sdp"]]
        self.assertEqual([[says, f"Programme_1{end}"] for says, end in named], [file[:2] for file in files])
        m3u, http, sdp = (
            self.browser.ask(f"fetch({json.dumps(file[2])}).then(each => each.text())") for file in files
        )
        self.assertEqual("#EXTM3U\n#EXTINF:-1,Programme 1\nrtp://@239.1.1.1:5004\n", m3u)
        self.assertEqual(f"#EXTM3U\n#EXTINF:-1,Programme 1\n{self.served.url}rtp/239.1.1.1:5004\n", http)
        self.assertEqual(f"v=0\r\ns={NASTY}\r\n", sdp)
        self.browser.click(row)
        self.assertEqual(files, self.files("#inspector-files"))

    def test_playlists_of_a_page_at_a_loopback_address_are_for_this_host_alone(self) -> None:
        self.tab("sessions")
        where = "document.querySelectorAll('#panel-sessions a[href$=\"via=http\"]')"
        said = self.browser.until(
            f"{where}.length > 1 && [...{where}].map(each => each.title)", "links of players"
        )
        alone = "an .m3u for a player on this host alone: no other one reaches"
        self.assertEqual({f"{alone} {self.served.url.rstrip('/')}"}, set(said))
        hosts = ["localhost", "127.0.1.1", "[::1]", "192.0.2.7", "127.example.net", "[fd00::1]"]
        found = self.browser.ask(
            "import('/page/format.js').then(m => "
            f"{json.dumps(hosts)}.map(hostname => m.overHttp({{hostname, origin: ''}})))"
        )
        self.assertEqual([True] * 3 + [False] * 3, [alone in each for each in found])

    def files(self, where: str) -> list[list[str]]:
        """Links to what players open: what they say, the file, and where it is."""
        found: list[list[str]] = self.browser.ask(
            f"[...document.querySelectorAll('{where} a')]"
            ".map(each => [each.innerText, each.download, each.getAttribute('href')])"
        )
        return found

    def test_who_watches_over_http(self) -> None:
        self.tab("sessions")
        self.browser.until("document.querySelectorAll('#watched tbody tr').length === 2", "what is watched")
        said = self.browser.text("#watched")
        for words in ("239.1.1.0:5004", "/udp/", "192.0.2.7, 192.0.2.8", "Programme 1", "/rtp/"):
            self.assertIn(words, said)

    def test_what_is_not_shown_is_counted_and_what_was_refused_is_said(self) -> None:
        self.tab("sessions")
        self.assertEqual("and 1,300 more, which are not shown", self.browser.text("#panel-sessions .more"))
        self.assertEqual("Announcements that are not kept: 12 that are none, 3 above the bound",
                         self.browser.text("#sap-refused"))  # fmt: skip
        self.tab("groups")
        self.assertEqual("and 76 more, which are not shown", self.browser.text("#panel-groups .more"))
        self.assertEqual(str(self.groups + 76), self.browser.text("#n-groups"))
        self.assertEqual(str(self.groups + 76 - 4), self.browser.text("#f-groups"))
        self.tab("streams")
        self.assertFalse(self.browser.ask("document.querySelector('#panel-streams .more').checkVisibility()"))
        said = self.browser.text("#attention-list")
        for words in ("not all groups are shown 76 more", "not all sessions are shown 1,300 more"):
            self.assertIn(words, said)

    def test_the_health_of_a_stream_says_whose_fault_it_is(self) -> None:
        self.tab("streams")
        self.browser.click("#panel-streams tbody tr:nth-child(2)")
        said = self.browser.text("#inspector-facts")
        for words in (
            "warn: 2 continuity errors on the way", "H.264, AAC", "Continuity_count_error",
            "2 at the source, 3 on the way, the last", NASTY[:20],
        ):  # fmt: skip
            self.assertIn(words, said)
        self.assertTrue(self.browser.ask("document.querySelector('#inspector-play').checkVisibility()"))

    def test_a_preview_that_cannot_be_had_says_so(self) -> None:
        self.tab("sessions")
        self.browser.click("#panel-sessions tbody tr:nth-child(2) .play")
        self.browser.until(
            "/404/.test(document.querySelector('#preview-say').innerText)", "why there is no preview"
        )
        self.assertTrue(self.browser.ask("document.querySelector('#preview').open"))
        self.assertTrue(self.browser.requests[-1].endswith("/rtp/239.1.1.1:5004"))

    def test_nothing_is_asked_of_anybody_else(self) -> None:
        for tab in TABS:
            self.tab(tab)
        self.browser.click("#help-open")
        self.assertTrue(self.browser.requests)
        self.assertEqual(
            [],
            [
                url
                for url in self.browser.requests
                if not url.startswith(self.served.url) and url != "about:blank"
            ],
        )
        self.assertEqual([], self.browser.complaints)

    def test_nothing_needs_scrolling_sideways_from_360_pixels_on(self) -> None:
        for width in (360, 800, 1440):
            self.browser.size(width, 740)
            self.opens()
            self.browser.until("document.querySelectorAll('#now-streams li').length", "streams")
            for tab in TABS:
                self.tab(tab)
                wide = self.browser.ask("document.documentElement.scrollWidth")
                self.assertLessEqual(wide, width, tab)
                outside = self.browser.ask(
                    "[...document.querySelectorAll('main *')].filter(each => each.checkVisibility() &&"
                    f" each.getBoundingClientRect().right > {width + 1} && !each.closest('svg, td > *'))"
                    ".map(each => each.className).slice(0, 5)"
                )
                self.assertEqual([], outside, (width, tab))

    def test_dark_and_light_as_the_system_has_it_or_as_the_switch_says(self) -> None:
        ground = "getComputedStyle(document.body).backgroundColor"
        self.browser.prefers(color_scheme="dark")
        dark = self.browser.ask(ground)
        self.browser.prefers(color_scheme="light")
        light = self.browser.ask(ground)
        self.assertNotEqual(dark, light)
        self.browser.press("t")
        self.assertEqual(dark, self.browser.ask(ground))
        self.browser.press("t")
        self.browser.prefers(color_scheme="dark")
        self.assertEqual(light, self.browser.ask(ground))
        self.opens()
        self.assertEqual(light, self.browser.ask(ground))

    def test_every_text_can_be_told_from_its_ground(self) -> None:
        """WCAG 2.2, 1.4.3: a contrast of 4.5, of text and of the lights, in both themes."""
        for scheme in ("dark", "light"):
            self.browser.prefers(color_scheme=scheme)
            for name in ("ink", "dim", "accent", "good", "warn", "bad", "off"):
                for ground in ("ground", "panel", "raised"):
                    self.assertGreaterEqual(self.contrast(name, ground), 4.5, (scheme, name, ground))

    def contrast(self, one: str, other: str) -> float:
        def luminance(name: str) -> float:
            colour = self.browser.ask(
                "(() => { const probe = document.body.appendChild(document.createElement('i'));"
                f" probe.style.color = 'var(--{name})';"
                " const said = getComputedStyle(probe).color; probe.remove(); return said; })()"
            )
            parts = [int(part) / 255 for part in colour[4:-1].split(",")]
            linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
            return float(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])

        high, low = sorted((luminance(one), luminance(other)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    def test_who_wants_no_motion_gets_none(self) -> None:
        moving = (
            "[...document.querySelectorAll('.strand')]"
            ".some(each => getComputedStyle(each).animationName !== 'none')"
        )
        self.browser.until("document.querySelectorAll('.strand').length", "streams along the links")
        self.assertTrue(self.browser.ask(moving))
        self.browser.prefers(reduced_motion="reduce")
        self.assertFalse(self.browser.ask(moving))

    def test_a_name_of_ones_own_stays_after_a_reload(self) -> None:
        browser = self.browser
        browser.click(".lane:nth-child(3) .card")
        browser.ask("document.querySelector('#alias').focus()")
        browser.type("Studio <A>")
        browser.press("Enter")
        self.assertEqual("Studio <A>", browser.text(".lane:nth-child(3) .name"))
        self.tab("streams")
        browser.click("#panel-streams tbody tr")
        browser.ask("document.querySelector('#alias').focus()")
        browser.type("The film")
        browser.press("Enter")
        self.opens()
        self.assertEqual("Studio <A>", browser.text(".lane:nth-child(3) .name"))
        self.tab("streams")
        self.assertEqual("The film", browser.text("#panel-streams tbody tr .name"))

    def test_a_lost_connection_is_said_and_comes_back_by_itself(self) -> None:
        self.browser.until("document.body.dataset.connection === 'live'", "the connection")
        port = self.served.port
        self.served.stop()
        self.browser.until("document.querySelector('#lost').checkVisibility()", "that it is lost", 5)
        self.assertIn("No connection", self.browser.text("#lost"))
        self.served = Served(self.nodes, self.groups, port)
        self.browser.until("document.body.dataset.connection === 'live'", "that it is back", 15)
        self.assertFalse(self.browser.ask("document.querySelector('#lost').checkVisibility()"))


class Previews(PageCase):
    """Films of two kinds, as the node's HTTP output would have them."""

    def more(self) -> list[str]:
        folder = Path(self.mktemp())
        folder.mkdir()
        told = []
        for name, codecs in {
            "udp": [
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-g",
                "25",
                "-pix_fmt",
                "yuv420p",
                "-c:a",
                "aac",
            ],
            "rtp": ["-c:v", "mpeg1video", "-c:a", "mp2"],
        }.items():
            path = folder.absolute() / f"{name}.ts"
            picture, sound = "testsrc=size=320x180:rate=25", "sine=frequency=330"
            inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, "-t", "10"]
            quiet = [find_ffmpeg(), "-nostdin", "-v", "error"]
            subprocess.run([*quiet, *inputs, *codecs, "-f", "mpegts", str(path)], check=True)
            told += [f"--{name}", str(path)]
        return told

    def plays(self) -> None:
        """The film of the one session that a browser shows."""
        self.tab("sessions")
        self.browser.click("#panel-sessions tbody tr:nth-child(3) .play")
        self.browser.until("document.querySelector('#preview-video').currentTime > 1", "a film that runs")

    def test_a_film_is_played_where_the_browser_has_its_codecs(self) -> None:
        self.plays()
        self.browser.until(
            "/H.264 and AAC, [0-9]/.test(document.querySelector('#preview-say').innerText)", "its rate"
        )
        self.assertEqual(180, self.browser.ask("document.querySelector('#preview-video').videoHeight"))
        self.browser.press("Escape")
        self.assertFalse(self.browser.ask("document.querySelector('#preview').open"))
        self.assertEqual([], self.browser.complaints)
        ours = (
            self.served.url,
            "about:",
            "data:",
            "blob:http://127",
        )  # data: pictures of the browser's player
        self.assertEqual([], [url for url in self.browser.requests if not url.startswith(ours)])

    def test_a_film_that_comes_and_does_not_move_is_begun_anew(self) -> None:
        self.plays()
        self.browser.ask(
            "Object.defineProperty(document.querySelector('#preview-video'), 'currentTime',"
            " {get: () => 1.5, set() {}, configurable: true}) && 0"
        )  # neither the player's seeks nor time move it
        wait_until(
            lambda: sum("/udp/" in url for url in self.browser.requests) == 3, PATIENCE, "another player"
        )
        self.browser.ask("delete document.querySelector('#preview-video').currentTime")
        self.browser.until("document.querySelector('#preview-video').currentTime > 1", "that it runs again")
        self.assertEqual([], self.browser.complaints)

    def test_a_film_that_stands_still_says_how_it_goes_on(self) -> None:
        self.plays()
        self.browser.ask("document.querySelector('#preview-video').pause()")
        self.browser.until(
            "document.querySelector('#preview-say').innerText === 'H.264 and AAC: press play'", "what to do"
        )

    def test_a_film_that_it_cannot_show_is_said_to_be_one(self) -> None:
        self.tab("sessions")
        self.browser.click("#panel-sessions tbody tr:nth-child(2) .play")
        self.browser.until(
            "document.querySelector('#preview-say').innerText.includes('does not show')", "why not"
        )
        self.assertIn("MPEG-1 or MPEG-2 video and MPEG-1 audio", self.browser.text("#preview-say"))
        self.assertFalse(self.browser.ask("document.querySelector('#preview-video').checkVisibility()"))


class Keyboard(PageCase):
    nodes, groups = 14, 6

    def test_tab_reaches_everything_that_arrows_do_not(self) -> None:
        for tab in TABS:
            self.tab(tab)
            self.browser.ask("document.activeElement.blur()")
            tabbable = f"{SHOWN}.filter(each => each.tabIndex >= 0 && !each.disabled)"
            wanted = set(self.browser.ask(f"{tabbable}.map({NAME})"))
            seen: set[str] = set()
            for _ in range(len(wanted) + 30):
                self.browser.press("Tab")
                seen.add(self.focus())
            # What needs attention comes and goes meanwhile.
            self.assertEqual(set(), {each for each in wanted - seen if not each.endswith("BUTTON show")}, tab)

    def test_what_has_the_focus_is_seen_to_have_it(self) -> None:
        for _ in range(12):
            self.browser.press("Tab")
            if self.focus() == "body":  # the last one is behind us
                continue
            style = self.browser.ask(
                "(style => `${style.outlineStyle} ${style.outlineWidth}`)"
                "(getComputedStyle(document.activeElement))"
            )
            self.assertNotIn("none", style, self.focus())
            self.assertNotIn(" 0px", style, self.focus())

    def test_the_first_thing_is_a_link_to_the_contents(self) -> None:
        self.browser.press("Tab")
        self.assertIn("Skip", self.focus())
        self.browser.press("Enter")
        self.assertIn("main", self.focus())

    def test_arrows_and_numbers_go_through_the_views(self) -> None:
        shown = (
            "[...document.querySelectorAll('[role=tabpanel]')]"
            ".filter(each => !each.hidden).map(each => each.id).join()"
        )
        self.browser.ask("document.querySelector('#tab-tree').focus()")
        for name in (*TABS[1:], "tree"):
            self.browser.press("ArrowRight")
            self.assertEqual(f"panel-{name}", self.browser.ask(shown))
        for number, name in enumerate(TABS, 1):
            self.browser.press(str(number))
            self.assertEqual(f"panel-{name}", self.browser.ask(shown))
            self.assertEqual(
                "true",
                self.browser.ask(f"document.querySelector('#tab-{name}').getAttribute('aria-selected')"),
            )

    def test_arrows_reach_every_link_and_every_node_of_the_tree(self) -> None:
        self.browser.ask("document.querySelector('.card.root').focus()")
        seen = {self.focus()}
        lanes = self.browser.ask("document.querySelectorAll('.lane').length")
        for lane in range(lanes):
            self.browser.press("ArrowDown")
            seen.add(self.focus())
            chips = self.browser.ask(
                f"document.querySelectorAll('.lane')[{lane}].querySelectorAll('.chip').length"
            )
            for _ in range(chips):
                self.browser.press("ArrowRight")
                seen.add(self.focus())
            for _ in range(chips):
                self.browser.press("ArrowLeft")
        self.assertEqual(self.browser.ask("document.querySelectorAll('#tree button').length"), len(seen))

    def test_a_row_is_opened_and_left_by_keys(self) -> None:
        self.tab("streams")
        self.browser.ask("document.querySelector('#panel-streams tbody tr').focus()")
        self.browser.press("ArrowDown", "ArrowDown")
        row = self.focus()
        self.browser.press("Enter")
        self.assertEqual(
            self.browser.text("#panel-streams tbody tr:nth-child(3) .name"),
            self.browser.text("#inspector-title"),
        )
        self.assertTrue(self.browser.ask("document.querySelectorAll('#inspector canvas').length > 1"))
        self.browser.press("Escape")
        self.assertTrue(self.browser.ask("document.querySelector('#inspector').hidden"))
        self.assertEqual(row, self.focus())

    def test_a_table_is_searched_and_sorted(self) -> None:
        self.tab("groups")
        self.browser.press("/")
        self.browser.type("239.1.1.4")
        rows = "[...document.querySelectorAll('#panel-groups tbody .name')].map(each => each.innerText)"
        self.assertEqual(["Programme 4"], self.browser.ask(rows))
        self.browser.ask(
            "(field => { field.value = ''; field.dispatchEvent(new Event('input')); })"
            "(document.querySelector('#panel-groups .search'))"
        )
        before = self.browser.ask(rows)
        self.browser.click("#panel-groups .sort")
        self.assertEqual(before[::-1], self.browser.ask(rows))
        self.assertEqual(
            "descending",
            self.browser.ask("document.querySelector('#panel-groups [aria-sort]').getAttribute('aria-sort')"),
        )


class Modules(PageCase):
    """Parts of the page on their own, in the browser that runs them."""

    def imports(self, module: str, expression: str) -> Any:
        return self.browser.ask(f"import('/page/{module}').then(m => {expression})")

    def test_it_puts_changes_together_as_they_were_taken_apart(self) -> None:
        draw = random.Random(7)

        def value(depth: int) -> Any:
            kind = draw.randrange(7 if depth else 4)
            if kind == 4:
                return [value(depth - 1) for _ in range(draw.randrange(4))]
            if kind > 4:
                return {draw.choice("abcd"): value(depth - 1) for _ in range(draw.randrange(4))}
            return [None, True, draw.randrange(3), draw.choice(["", "x", NASTY])][kind]

        cases = []
        for _ in range(300):
            before, after = ({name: value(3) for name in draw.sample("abcdef", 4)} for _ in range(2))
            if (change := difference(before, copy.deepcopy(after))) is not None:
                cases.append([before, change, after])
        made = self.imports(
            "feed.js", f"{json.dumps(cases)}.map(([before, change]) => m.changed(before, change))"
        )
        self.assertEqual([json.loads(json.dumps(after)) for _, _, after in cases], made)

    def test_it_reads_which_codecs_are_in_a_transport_stream(self) -> None:
        for types in ((0x1B, 0x0F), (0x01, 0x03), (0x24,)):
            stream = b"\x00" * 40 + transport_stream(types)
            found = self.imports("preview.js", f"m.streamTypes(new Uint8Array({json.dumps(list(stream))}))")
            self.assertEqual(list(types), found)
        self.assertIsNone(self.imports("preview.js", "m.streamTypes(new Uint8Array(4000))"))
        noise = json.dumps(list(random.Random(3).randbytes(4000)))
        self.assertIsNone(self.imports("preview.js", f"m.streamTypes(new Uint8Array({noise}))"))

    def test_it_says_what_the_browser_does_not_show(self) -> None:
        found = self.imports("preview.js", "m.playable([0x01, 0x03])")
        self.assertEqual({"can": False, "what": "MPEG-1 video and MPEG-1 audio"}, found)

    def test_figures_are_written_as_the_command_line_writes_them(self) -> None:
        from multicastmw.cli.text import amount, plain, span

        counts = [0, 7, 9_999, 10_000, 12_345, 999_499, 999_500, 4_560_000, 12_300_000_000]
        told = self.imports(
            "format.js",
            f"{json.dumps(counts)}.map(m.amount)"
            ".map(text => text.replace(/(\\.\\d*?)0+(?=\\D)/, '$1').replace(/\\.(?=[kMG])/, ''))",
        )
        self.assertEqual([amount(count) for count in counts], told)
        spans = [0, 8, 185, 3_600, 187_200.5]
        self.assertEqual(
            [span(each) for each in spans], self.imports("format.js", f"{json.dumps(spans)}.map(m.span)")
        )
        self.assertEqual(plain("a\x1b[31m\u202eb"), self.imports("format.js", r"m.plain('a\x1b[31m\u202eb')"))


def transport_stream(types: tuple[int, ...]) -> bytes:
    """Tables (PAT, PMT) of a programme with these stream types, and packets around them."""

    def packet(pid: int, table: bytes) -> bytes:
        return (bytes((0x47, 0x40 | pid >> 8, pid & 255, 0x10, 0)) + table).ljust(188, b"\xff")

    def table(kind: int, body: bytes) -> bytes:
        return bytes((kind, 0xB0, len(body) + 9)) + b"\x00\x01\xc1\x00\x00" + body + b"\x00\x00\x00\x00"

    pmt = b"\xe1\x00\xf0\x03\x01\x01\x01" + b"".join(
        bytes((kind, 0xE1, index, 0xF0, 2, 0x0A, 0)) for index, kind in enumerate(types)
    )
    filler = packet(0x100, b"\x00")
    return (
        filler * 2
        + packet(0, table(0, b"\x00\x00\xe0\x10\x00\x01\xf0\x00"))
        + filler
        + packet(0x1000, table(2, pmt))
        + filler
    )
