"""The mesh on the page: neighbours with what is measured of them, and the way of each stream."""

from tests.web.test_page import PageCase

STREAMS = "#panel-mesh table[aria-label='streams in the mesh']"
NEIGHBOURS = "#panel-mesh table[aria-label='neighbours']"
GROUPS = "#panel-mesh table[aria-label='groups in the mesh']"
LEFT_ALONE = "#panel-mesh table[aria-label='nodes that are left alone']"
WAY = "document.querySelector('.streamway')"


class MeshCase(PageCase):
    nodes, groups = 30, 20

    def more(self) -> list[str]:
        return ["--mesh"]

    def opens(self) -> None:
        super().opens()
        self.tab("mesh")
        self.browser.until(f"{WAY}?.checkVisibility()", "the way of a stream")

    def choose(self, row: int) -> None:
        self.browser.click(f"{STREAMS} tbody tr:nth-child({row})")

    def cards(self, where: str) -> list[str]:
        """Their names and what they are."""
        found: list[str] = self.browser.ask(
            f"[...document.querySelectorAll('.streamway {where} .card .top')].map(each => "
            "[...each.children].map(one => one.innerText).filter(Boolean).join(': '))"
        )
        return found

    def lines(self, kind: str) -> int:
        found: int = self.browser.ask(f"{WAY}.querySelectorAll('path.{kind}').length")
        return found


class Ways(MeshCase):
    def test_the_way_of_a_packet_goes_from_its_origin_to_this_node_and_on(self) -> None:
        self.choose(6)
        self.assertEqual(["studio-005: origin", "studio-010: parent"], self.cards(".hops"))
        self.assertEqual(["studio-011: backup", "studio-012: backup", "studio-013: backup"],
                         self.cards(".backups"))  # fmt: skip
        self.assertEqual(["master-control: this node"], self.cards(".hereplace"))
        self.assertEqual([f"studio-0{each}: child" for each in (14, 15, 16)], self.cards(".children"))
        self.assertEqual((5, 3), (self.lines("strand"), self.lines("spare")))
        self.assertIn("2 links from the origin", self.browser.text(".hereplace .card"))
        self.assertIn("32.1 ms", self.browser.text(".hereplace .card"))
        said = self.browser.text(".hops li:last-child .card")
        for words in ("ms ±0.10 ms", "0.00 % lost", "in 8.80 Mbit/s"):
            self.assertIn(words, said)

    def test_the_way_of_a_second_feed_is_drawn_beside_the_first_one(self) -> None:
        self.choose(8)
        self.assertEqual(["studio-007: origin", "0000beef", "studio-011: second parent"],
                         self.cards(".hops + .hops"))  # fmt: skip
        self.assertNotIn("by one way", self.browser.text(".hereplace .card"))
        self.choose(6)
        self.assertEqual([], self.cards(".hops + .hops"))
        self.assertIn("by one way", self.browser.text(".hereplace .card"))

    def test_a_stream_that_begins_here_has_children_alone(self) -> None:
        self.choose(1)
        self.assertEqual(([], []), (self.cards(".hops"), self.cards(".backups")))
        self.assertEqual(["master-control: it begins here"], self.cards(".hereplace"))
        self.assertEqual(3, len(self.cards(".children")))

    def test_one_without_a_parent_says_so_and_whom_it_has_asked(self) -> None:
        self.choose(2)
        self.assertEqual(["studio-001: origin", "no parent yet"], self.cards(".hops"))
        self.assertEqual("studio-004: asked", self.cards(".backups")[0])
        self.browser.sees(f"{STREAMS} tbody tr:nth-child(2)")
        self.assertIn("nobody yet", self.browser.text(f"{STREAMS} tbody tr:nth-child(2)"))

    def test_of_a_way_that_is_not_known_its_ends_are_shown(self) -> None:
        self.choose(3)
        self.assertEqual(["studio-002: origin", "not known yet", "studio-007: parent"], self.cards(".hops"))

    def test_of_many_children_the_first_are_shown_and_the_rest_is_counted(self) -> None:
        self.nodes = 60
        self.served.stop()
        type(self).setUp(self)
        self.choose(4)
        children = self.cards(".children")
        self.assertEqual((41, "+15 more"), (len(children), children[-1]))

    def test_what_is_measured_of_each_neighbour_stands_in_a_row(self) -> None:
        self.browser.sees(f"{NEIGHBOURS} tbody tr:nth-child(4)")
        heads = self.browser.ask(f'[...document.querySelectorAll("{NEIGHBOURS} th")].map(e => e.innerText)')
        cells = self.browser.ask(
            f'[...document.querySelectorAll("{NEIGHBOURS} tbody tr:nth-child(4) td")].map(e => e.innerText)'
        )
        row = dict(zip(heads, cells, strict=True))
        self.assertEqual("studio-003", row["neighbour"])
        for figure, value in {"RTT": "12.3 ms", "jitter": "0.10 ms", "loss": "5.00 %", "in": "3.20 Mbit/s",
                              "out": "6.40 Mbit/s", "queue": "0", "carries": "8"}.items():  # fmt: skip
            self.assertEqual((figure, value), (figure, row[figure]))
        self.browser.click(f"{NEIGHBOURS} tbody tr:nth-child(4)")
        self.assertEqual("studio-003", self.browser.text("#inspector-title"))

    def test_the_stream_that_is_opened_tells_its_way(self) -> None:
        self.tab("streams")
        self.browser.click("#panel-streams tbody tr:nth-child(6)")
        said = self.browser.text("#inspector-facts")
        for words in ("studio-005 → studio-010 → master-control", "studio-011, studio-012, studio-013",
                      "studio-014, studio-015, studio-016", "32.1 ms"):  # fmt: skip
            self.assertIn(words, said)

    def test_a_node_on_the_way_that_is_no_neighbour_is_told_of(self) -> None:
        self.choose(7)
        self.browser.click(".hops li:nth-child(2) .card")
        self.assertEqual("00000000", self.browser.text("#inspector-title"))
        self.assertIn("no neighbour of this node", self.browser.text("#inspector-facts"))

    def test_arrows_go_along_the_way_and_tab_reaches_it_once(self) -> None:
        self.choose(6)
        self.browser.ask(f"{WAY}.querySelector('.card').focus()")
        seen = {self.focus()}
        for _ in range(8):
            self.browser.press("ArrowRight")
            seen.add(self.focus())
        self.assertEqual(9, len(seen))
        self.browser.press("Home", "Enter")
        self.assertEqual("studio-005", self.browser.text("#inspector-title"))
        self.assertEqual(1, self.browser.ask(f"{WAY}.querySelectorAll('[tabindex=\"0\"]').length"))

    def test_it_is_the_seventh_view_and_arrows_come_to_it(self) -> None:
        self.tab("events")
        self.browser.ask("document.querySelector('#tab-events').focus()")
        self.browser.press("ArrowRight")
        self.assertTrue(self.browser.ask("!document.querySelector('#panel-mesh').hidden"))
        self.tab("tree")
        self.browser.press("7")
        self.assertTrue(self.browser.ask("!document.querySelector('#panel-mesh').hidden"))

    def test_nothing_needs_scrolling_sideways_from_360_pixels_on(self) -> None:
        for width in (360, 800, 1440):
            self.browser.size(width, 740)
            self.opens()
            for row in (1, 4, 6, 10):
                self.choose(row)
                wide = self.browser.ask("document.documentElement.scrollWidth")
                self.assertLessEqual(wide, width, row)
                outside = self.browser.ask(
                    "[...document.querySelectorAll('#panel-mesh *')].filter(each => each.checkVisibility() &&"
                    f" each.getBoundingClientRect().right > {width + 1} && !each.closest('svg, td > *'))"
                    ".map(each => each.className).slice(0, 5)"
                )
                self.assertEqual([], outside, (width, row))
        self.browser.size(360, 740)
        self.browser.until(f"{WAY}.hasAttribute('data-down')", "the way downwards")

    def test_nobody_s_name_is_markup_and_nothing_complains(self) -> None:
        for row in range(1, 8):
            self.choose(row)
        self.assertEqual(1, self.browser.ask("document.querySelectorAll('img').length"))
        self.assertEqual([], self.browser.complaints)


class ManyInTheMesh(MeshCase):
    nodes, groups = 300, 500

    def test_all_of_it_is_shown_and_nothing_of_it_is_made_again(self) -> None:
        for table, rows in ((STREAMS, 500), (NEIGHBOURS, 300), (GROUPS, 500)):
            self.assertEqual(rows, self.browser.ask(f'document.querySelectorAll("{table} tbody tr").length'))
        self.browser.sees("#panel-mesh .more")
        self.assertIn("and 9 more", self.browser.text("#panel-mesh .more"))
        self.browser.ask("""(() => { window.added = 0; window.changes = 0;
            new MutationObserver(found => found.forEach(each => {
                window.changes += 1;
                window.added += [...each.addedNodes].filter(node => node.nodeType === 1).length; }))
            .observe(document.querySelector('#panel-mesh'),
                {childList: true, characterData: true, subtree: true}); })()""")
        self.browser.until("window.changes > 100", "figures that change")
        self.assertEqual(0, self.browser.ask("window.added"))


class LeftAlone(MeshCase):
    def test_who_is_left_alone_is_listed_with_the_reason(self) -> None:
        self.browser.sees(LEFT_ALONE)
        said = self.browser.text(LEFT_ALONE)
        for words in ("liar-0", "liar-1", "198.51.100.66", "it does not send what it says that it has"):
            self.assertIn(words, said)
        self.assertIn("and 3 more", self.browser.text("#mesh-left-alone .more"))


class WithoutAMesh(PageCase):
    nodes, groups = 14, 6

    def test_there_is_no_view_of_it(self) -> None:
        self.assertFalse(self.browser.ask("document.querySelector('#tab-mesh').checkVisibility()"))
        self.browser.press("7")
        self.assertTrue(self.browser.ask("document.querySelector('#panel-mesh').hidden"))
        for _ in range(6):
            self.browser.ask("document.querySelector('[role=tab][aria-selected=true]').focus()")
            self.browser.press("ArrowRight")
        self.assertTrue(self.browser.ask("!document.querySelector('#panel-tree').hidden"))

    def test_links_have_their_measurements_all_the_same(self) -> None:
        said = self.browser.text(".lane:nth-child(3) .figures")
        for words in ("RTT", "loss", "jitter", "queue"):
            self.assertIn(words, said)
        self.tab("nodes")
        heads = self.browser.ask("[...document.querySelectorAll('#panel-nodes th')].map(e => e.innerText)")
        for words in ("RTT", "jitter", "loss", "in", "out", "queue"):
            self.assertIn(words, heads)
