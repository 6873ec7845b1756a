"""Which nodes are behind which link, against a set of pairs."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.parting import part
from multicastmw.core.reach import Reach
from multicastmw.core.turns import Turns

LINKS = "xyz"
NODES = range(1, 5)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "leave"]),
        st.sampled_from(LINKS),
        st.sampled_from(NODES),
        st.none() | st.sampled_from(["p", "q"]),
    ),
    max_size=40,
)


class AgainstPairs(SynchronousTestCase):
    @given(STEPS)
    @settings(max_examples=200, deadline=None)
    def test_nodes_their_names_and_links(self, steps: list) -> None:
        reach: Reach[str] = Reach(lambda link, node: None, lambda node: None)
        pairs: set[tuple[str, int]] = set()
        names: dict[int, str] = {}
        for link in LINKS:
            reach.join(link)
        for what, link, node, name in steps:
            if what == "add":
                self.assertEqual(reach.add(link, node, name), (link, node) not in pairs)
                pairs.add((link, node))
                if name is not None:
                    names[node] = name
            elif what == "remove":
                reach.remove(link, node)
                pairs.discard((link, node))
            else:
                part(link, (reach,), Turns())
                reach.join(link)
                pairs = {pair for pair in pairs if pair[0] != link}
            names = {node: name for node, name in names.items() if any(n == node for _, n in pairs)}
            self.assertEqual(set(reach.nodes()), {n for _, n in pairs})
            for n in NODES:
                self.assertEqual(set(reach.links(n)), {lk for lk, other in pairs if other == n})
                self.assertEqual(reach.name(n), names.get(n))
            for lk in LINKS:
                self.assertEqual(set(reach.behind(lk)), {n for other, n in pairs if other == lk})
                besides = {n for other, n in pairs if other != lk}
                self.assertEqual(set(reach.all_besides(lk)), besides)
                self.assertEqual([reach.besides(lk, n) for n in NODES], [n in besides for n in NODES])
            self.assertEqual(set(reach._names), set(names))


class Changes(SynchronousTestCase):
    def test_every_other_link_is_told_that_a_node_came_and_went(self) -> None:
        told: list[tuple[str, int]] = []
        reach: Reach[str] = Reach(lambda link, node: told.append((link, node)), lambda node: None)
        for link in LINKS:
            reach.join(link)
        reach.add("x", 1, "n")
        self.assertEqual(told, [("y", 1), ("z", 1)])
        part("x", (reach,), Turns())
        self.assertEqual(told[2:], [("y", 1), ("z", 1)])

    def test_a_node_over_several_links_is_told_whenever_one_of_them_came_or_went(self) -> None:
        doubled: list[int] = []
        reach: Reach[str] = Reach(lambda link, node: None, lambda node: None, doubled.append)
        for link in LINKS:
            reach.join(link)
            reach.add(link, 1, "n")
            reach.add(link, 1, "n")
        self.assertEqual(doubled, [1, 1])
        part("x", (reach,), Turns())
        self.assertEqual(doubled, [1, 1, 1])
        reach.remove("y", 1)
        self.assertEqual(doubled, [1, 1, 1])

    def test_a_node_is_gone_when_no_link_leads_to_it(self) -> None:
        gone: list[int] = []
        reach: Reach[str] = Reach(lambda link, node: None, gone.append)
        for link in LINKS:
            reach.join(link)
            reach.add(link, 1, "n")
        reach.add("x", 2, "m")
        part("x", (reach,), Turns())
        reach.remove("y", 1)
        reach.remove("y", 1)
        self.assertEqual(gone, [2])
        reach.remove("z", 1)
        self.assertEqual(gone, [2, 1])
