"""What is said of two documents makes the second of the first."""

import copy
import json
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.status import ReachStatus
from multicastmw.web.changes import AGEING, SAME_MOMENT, Documents, difference


@dataclass(frozen=True)
class Aged:
    """Has been so for some seconds."""

    since: float


NAMES = st.sampled_from(["a", "b", "peers", "name", "state"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x", "<b>", "\x1b[31m"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=5)


def changed(document: Any, change: Any) -> Any:
    """The page's twin of this is in page/feed.js."""
    if isinstance(change, list):
        return change[0]
    for name, inner in change.items():
        place = int(name) if isinstance(document, list) else name
        if inner == []:
            del document[place]
        elif isinstance(document, dict) and place not in document:
            document[place] = changed(None, inner)
        else:
            document[place] = changed(document[place], inner)
    return document


class Difference(SynchronousTestCase):
    @given(DOCUMENTS, DOCUMENTS)
    def test_it_makes_the_second_document_of_the_first(self, before: Any, after: Any) -> None:
        change = json.loads(json.dumps(difference(before, copy.deepcopy(after))))
        made = copy.deepcopy(before) if change is None else changed(copy.deepcopy(before), change)
        self.assertEqual(json.dumps(after, sort_keys=True), json.dumps(made, sort_keys=True))

    @given(DOCUMENTS)
    def test_of_the_same_document_nothing_is_said(self, document: Any) -> None:
        self.assertIsNone(difference(document, copy.deepcopy(document)))

    def test_one_counter_of_many_is_a_few_bytes(self) -> None:
        peers = [{"name": f"n{index}", "counters": {"sent": 0, "received": 0}} for index in range(100)]
        after = copy.deepcopy(peers)
        after[41]["counters"]["sent"] = 7  # type: ignore[index]
        self.assertEqual(
            {"peers": {"41": {"counters": {"sent": [7]}}}}, difference({"peers": peers}, {"peers": after})
        )

    def test_true_is_not_one(self) -> None:
        self.assertEqual({"a": [True]}, difference({"a": 1}, {"a": True}))

    def test_a_list_that_grew_is_put_whole(self) -> None:
        self.assertEqual({"a": [[1, 2]]}, difference({"a": [1]}, {"a": [1, 2]}))


class Moments(SynchronousTestCase):
    def at(self, now: float, **ages: float) -> Any:
        return Documents().of({"node": {"name": "a"} | ages}, now)

    def test_what_only_became_older_is_no_change(self) -> None:
        before = self.at(100.0, uptime=50.0, since=3.0, ago=1.0, expires_in=20.0)
        after = self.at(107.0, uptime=57.0, since=10.0, ago=8.0, expires_in=13.0)
        self.assertIsNone(difference(before, after))

    def test_an_age_that_began_anew_is_a_change(self) -> None:
        self.assertEqual(
            {"node": {"since": [107.0]}},
            difference(self.at(100.0, since=3.0), self.at(107.0, since=0.0)),
        )

    def test_many_small_steps_do_not_hide_a_large_one(self) -> None:
        """A figure that runs slower than time is said again and again, however slowly it falls behind."""
        shown = self.at(0.0, expires_in=20.0)
        for second in range(1, 10):
            after = self.at(float(second), expires_in=20.0 - second * 0.9)
            difference(shown, after)
            shown = after
        self.assertLessEqual(abs(shown["node"]["expires_in"] - 20.9), SAME_MOMENT)

    def test_a_document_is_copied_and_its_ages_are_moments(self) -> None:
        document = {"peers": ({"since": 2.5, "name": "b"},), "refused_reload": None, "expires_in": None}
        self.assertEqual(
            {"peers": [{"since": 97.5, "name": "b"}], "refused_reload": None, "expires_in": None},
            Documents().of(document, 100.0),
        )
        self.assertEqual({"since": 2.5, "name": "b"}, document["peers"][0])  # type: ignore[index]

    def test_what_is_the_same_object_in_two_snapshots_is_so_in_the_documents(self) -> None:
        still, older = ReachStatus("b", "1", ("b",)), Aged(5.0)
        documents = Documents()
        first = documents.of({"nodes": (still, older)}, 100.0)["nodes"]
        second = documents.of({"nodes": (still, older)}, 101.0)["nodes"]
        self.assertIs(first[0], second[0])
        self.assertEqual({"name": "b", "id": "1", "via": ["b"]}, first[0])
        self.assertEqual([{"since": 95.0}, {"since": 96.0}], [first[1], second[1]])

    def test_time_left_counts_the_other_way(self) -> None:
        self.assertEqual(
            {name: 100.0 + way for name, way in AGEING.items()},
            Documents().of(dict.fromkeys(AGEING, 1.0), 100.0),
        )
