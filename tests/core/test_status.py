"""The status as a document."""

from dataclasses import asdict, dataclass

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.status import unfolded


@dataclass(frozen=True)
class Leaf:
    name: str | None
    counts: dict[str, int]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Tree:
    first: Leaf | None
    leaves: tuple[Leaf, ...]
    table: dict[str, dict[str, int]]
    size: float


counts = st.dictionaries(st.text(), st.integers())
leaves = st.builds(Leaf, st.none() | st.text(), counts, st.lists(st.text()).map(tuple))
trees = st.builds(
    Tree, st.none() | leaves, st.lists(leaves).map(tuple), st.dictionaries(st.text(), counts), st.floats()
)


class Unfolded(SynchronousTestCase):
    @given(trees)
    def test_it_is_what_asdict_gives(self, tree: Tree) -> None:
        self.assertEqual(repr(asdict(tree)), repr(unfolded(tree)))
