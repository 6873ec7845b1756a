"""Claims, against a set of pairs that is asked anew after each step."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.claims import Claims


class Holder:
    """Known by identity alone, as links are."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


HOLDERS = [Holder(name) for name in "abcd"]
KEYS = range(2)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["join", "leave", "part", "release", "add", "add", "add", "remove"]),
        st.sampled_from(HOLDERS),
        st.sampled_from(KEYS),
    ),
    max_size=60,
)


def leave(claims: Claims[int, Holder], holder: Holder) -> list[int]:
    """The holder goes with all that it claims, at once."""
    claims.part(holder)
    return claims.release(holder, claims.count(holder))


class Naive:
    """Who claims what, and nothing clever."""

    def __init__(self) -> None:
        self.members: set[Holder] = set()
        self.pairs: set[tuple[Holder, int]] = set()

    def view(self, holder: Holder) -> set[int]:
        return {key for other, key in self.pairs if other is not holder}

    def views(self) -> dict[Holder, set[int]]:
        return {holder: self.view(holder) for holder in self.members}


class AgainstPairs(SynchronousTestCase):
    @given(STEPS)
    @settings(max_examples=300, deadline=None)
    def test_all_answers_are_the_same_and_exactly_the_changed_views_are_told(self, steps: list) -> None:
        told: list[tuple[Holder, int]] = []
        claims: Claims[int, Holder] = Claims(lambda holder, key: told.append((holder, key)))
        naive = Naive()
        for holder in HOLDERS:
            claims.join(holder)
            naive.members.add(holder)
        for what, holder, key in steps:
            if what in ("part", "release") or (what != "join" and holder not in naive.members):
                continue
            before = naive.views()
            told.clear()
            if what == "join":
                naive.members.add(holder)
                claims.join(holder)
            elif what == "leave":
                self.assertEqual(set(leave(claims, holder)), {k for h, k in naive.pairs if h is holder})
                naive.pairs = {pair for pair in naive.pairs if pair[0] is not holder}
                naive.members.discard(holder)
            elif what == "add":
                self.assertEqual(claims.add(holder, key), (holder, key) not in naive.pairs)
                naive.pairs.add((holder, key))
            else:
                self.assertEqual(claims.remove(holder, key), (holder, key) in naive.pairs)
                naive.pairs.discard((holder, key))
            after = naive.views()
            changed = {(h, k) for h in after for k in after[h] ^ before.get(h, after[h])}
            self.assertEqual(sorted(told, key=repr), sorted(changed, key=repr))
            self.check(claims, naive)

    def check(self, claims: Claims[int, Holder], naive: Naive) -> None:
        self.assertEqual(set(claims), {key for _, key in naive.pairs})
        self.assertEqual(len(claims), len(set(claims)))
        self.assertEqual(set(claims.members()), naive.members)
        for key in KEYS:
            self.assertEqual(set(claims.holders(key)), {h for h, k in naive.pairs if k == key})
        for holder in HOLDERS:
            held = {k for h, k in naive.pairs if h is holder}
            self.assertEqual((set(claims.held(holder)), claims.count(holder)), (held, len(held)))
            self.assertEqual(set(claims.all_besides(holder)), naive.view(holder))
            for key in KEYS:
                self.assertEqual(claims.besides(holder, key), key in naive.view(holder))


class InPieces(SynchronousTestCase):
    """Who is told learns what it is to know at the end, whatever happens while claims are taken back."""

    @given(STEPS)
    @settings(max_examples=400, deadline=None)
    def test_what_the_parted_claimed_counts_no_more_and_all_are_told_in_the_end(self, steps: list) -> None:
        known: dict[Holder, set[int]] = {}  # what each was told, as a link keeps it

        def tell(holder: Holder, key: int) -> None:
            (known[holder].add if claims.besides(holder, key) else known[holder].discard)(key)

        claims: Claims[int, Holder] = Claims(tell)
        naive = Naive()
        parted: list[Holder] = []
        for what, holder, key in steps:
            if what == "join" and holder not in naive.members and holder not in parted:
                naive.members.add(holder)
                claims.join(holder)
                known[holder] = set(claims.all_besides(holder))
            elif what == "release" and parted:
                self.release(claims, parted)
            elif holder not in naive.members:
                continue
            elif what in ("part", "leave"):
                del known[holder]
                claims.part(holder)
                parted.append(holder)
                naive.pairs = {pair for pair in naive.pairs if pair[0] is not holder}
                naive.members.discard(holder)
            elif what == "add":
                claims.add(holder, key)
                naive.pairs.add((holder, key))
            elif what == "remove":
                claims.remove(holder, key)
                naive.pairs.discard((holder, key))
            self.check(claims, naive)
        while parted:
            self.release(claims, parted)
        self.assertEqual(known, naive.views())
        self.assertEqual(set(claims._holders), {key for _, key in naive.pairs})
        self.assertEqual((set(claims._held), claims._parted), (naive.members, set()))

    def release(self, claims: Claims[int, Holder], parted: list[Holder]) -> None:
        claims.release(parted[0], 1)
        if not claims.count(parted[0]):
            claims.release(parted.pop(0), 1)

    def check(self, claims: Claims[int, Holder], naive: Naive) -> None:
        self.assertEqual(set(claims), {key for _, key in naive.pairs})
        self.assertEqual(set(claims.members()), naive.members)
        for key in KEYS:
            self.assertEqual(set(claims.holders(key)), {h for h, k in naive.pairs if k == key})
            for holder in naive.members:
                self.assertEqual(claims.besides(holder, key), key in naive.view(holder))


class Bounds(SynchronousTestCase):
    def test_what_is_withdrawn_takes_no_room(self) -> None:
        claims: Claims[int, Holder] = Claims(lambda holder, key: None)
        holder = HOLDERS[0]
        claims.join(holder)
        for key in range(10_000):
            claims.add(holder, key)
            claims.remove(holder, key)
        self.assertEqual((len(claims), claims._holders, claims._held), (0, {}, {holder: {}}))
        leave(claims, holder)
        self.assertEqual(claims._held, {})

    def test_order_is_the_order_of_arrival(self) -> None:
        claims: Claims[int, Holder] = Claims(lambda holder, key: None)
        for holder in HOLDERS:
            claims.join(holder)
            claims.add(holder, 1)
        self.assertEqual(claims.holders(1), tuple(HOLDERS))

    def test_a_holder_may_leave_that_never_joined(self) -> None:
        claims: Claims[int, Holder] = Claims(lambda holder, key: None)
        self.assertEqual(leave(claims, HOLDERS[0]), [])
