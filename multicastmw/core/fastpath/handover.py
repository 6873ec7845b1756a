"""Who judges a flow's numbers: the kernel while the flow's gate is open, we while it is shut.

    given to the kernel, or the lease has ended ---> the gate is shut, and our windows judge
                                                         |                 ^
    nothing waits here any more: the kernel is told      |                 |  something of it comes here: the
    what has come, and the gate opens                    v                 |  gate is shut, and we are told
                                                     the kernel judges ----+  what has come

While something of a stream of the mesh is missing its gate is parked: it stays shut (fed.py).

So each number is judged once, by what all of them were, wherever the flow was meanwhile.

The exception is a gate that is forced open (gates.py).  The kernel is told what has come, as ever, and goes
on with whatever comes next; what waits is between the two, and is judged here.  When it is out the kernel is
told of it; if the gate is shut again first, we are told of what the kernel took.  Until then, mostly
milliseconds, neither knows of the other, and what comes to both comes twice.
"""

from collections.abc import Callable
from functools import partial
from operator import attrgetter

from multicastmw.core.fastpath.fed import is_whole
from multicastmw.core.fastpath.flows import Flow, Flows
from multicastmw.core.fastpath.gates import Gates, Take
from multicastmw.core.fastpath.peers import FastPeers
from multicastmw.core.fastpath.tables import GATE_OF_LINK, KernelTables
from multicastmw.core.stream import Stream
from multicastmw.core.window import Numbers

# What we chose.
LOOK = 0.02  # seconds between two looks whether what was missing is there

NEVER = float("inf")


class Handover:
    """See above.  `read_tap` takes what programs have sent already; `wake` is told that something is due."""

    def __init__(
        self,
        flows: Flows,
        peers: FastPeers,
        read_tap: Take,
        wake: Callable[[], None],
    ) -> None:
        self._flows = flows
        self._peers = peers
        self._read_tap = read_tap
        self._wake = wake
        self._gates = Gates(self)
        self._tables: KernelTables | None = None
        self._recalled: dict[int, None] = {}  # slots whose gates are to be opened again
        self._parked: dict[int, None] = {}  # and those that stay shut, as something is missing
        self._look_at = 0.0
        self.forced = 0  # times that a flow's gate was, since the node was started

    def start(self, tables: KernelTables) -> None:
        self._tables = tables

    def stop(self) -> None:
        """No gate is opened any more."""
        self._gates.forget_all()
        self._recalled.clear()
        self._parked.clear()

    # --- flows

    def give(self, flow: Flow, tables: KernelTables, now: float) -> None:
        """The kernel is to have it, as soon as what has come already is out."""
        assert flow.slot is not None
        self._gates.shut(flow.slot, tables, now)
        if ingress := self._flows.ingress(flow):
            for count, known in flow.hand_over(ingress).items():
                tables.set_numbers(flow.slot, count, known)
        flow.give(partial(self._recall, flow.slot))

    def take_back(self, flow: Flow, tables: KernelTables | None) -> None:
        """It is ours; without `tables` nobody knows what the kernel has seen of it."""
        assert flow.slot is not None
        self._gates.forget(flow.slot)
        self._recalled.pop(flow.slot, None)
        self._parked.pop(flow.slot, None)
        flow.take_back(partial(tables.numbers, flow.slot) if tables else lambda count: None)

    def _recall(self, slot: int, count: int) -> Numbers | None:
        """Something of the flow came here: so does all that follows.  Gives what the kernel knows."""
        tables = self._tables
        assert tables is not None
        if not tables.is_shut(slot):
            tables.shut(slot)
        self._recalled[slot] = None
        self._wake()
        return tables.numbers(slot, count)

    # --- gates

    def shut_all(self, tables: KernelTables, now: float) -> None:
        """All flows may have come here for a while."""
        for slot, _ in self._flows.fast():
            self._gates.shut(slot, tables, now)

    def look(self, tables: KernelTables, now: float) -> None:
        """Those that the kernel has shut are to be opened again."""
        for slot, _ in self._flows.fast():
            self._gates.found(slot, tables, now)
        for index in self._peers.by_index:
            self._gates.found(GATE_OF_LINK + index, tables, now)

    def deadline(self) -> float:
        if self._recalled:
            return -NEVER
        return min(self._gates.deadline(), self._look_at if self._parked else NEVER)

    def tick(self, tables: KernelTables, now: float) -> None:
        for slot in self._recalled:
            self._gates.found(slot, tables, now)
        self._recalled.clear()
        if self._parked and now >= self._look_at:
            self._look_at = now + LOOK
            for slot in [slot for slot in self._parked if self.may_open(slot)]:
                del self._parked[slot]
                self._gates.found(slot, tables, now)
        self._gates.tick(tables, now)

    def is_parked(self, flow: Flow) -> bool:
        return flow.slot in self._parked

    def may_open(self, gate: int) -> bool:
        flow = self._flows.by_slot.get(gate)
        return flow is None or is_whole(flow)

    def park(self, gate: int) -> None:
        self._parked[gate] = None

    def where(self, gate: int) -> Take:
        """Of a flow it waits where it comes from, of a link in its socket."""
        if gate >= GATE_OF_LINK:
            return self._peers.by_index[gate - GATE_OF_LINK].link.read_waiting
        flow = self._flows.by_slot[gate]
        link = None if self._flows.is_ours(flow) else self._flows.ingress(flow)
        return link.read_waiting if link else self._read_tap

    def opens(self, gate: int, tables: KernelTables) -> None:
        if flow := self._flows.by_slot.get(gate):
            for stream in filter(attrgetter("is_judged_here"), flow.counts()):
                tables.set_numbers(gate, stream.count, stream.hand_over(self._flows.ingress(flow)))

    def is_forced(self, gate: int, tables: KernelTables, now: float) -> None:
        """A link's leaves it to the gates of its flows; those of the mesh pass in order or not at all."""
        if gate >= GATE_OF_LINK:
            for slot, each in self._flows.fast():
                is_its = each.value and each.value.gate_of_link == gate and not each.is_fed
                if is_its and not tables.is_shut(slot):
                    self._gates.shut(slot, tables, now)
            return
        self.forced += 1
        flow = self._flows.by_slot.get(gate)
        ingress = self._flows.ingress(flow) if flow else None
        if flow is None or ingress is None:
            self.opens(gate, tables)
        else:
            for stream in filter(attrgetter("is_judged_here"), flow.counts()):
                tables.go_ahead(gate, stream.count, stream.overtake(ingress, now))

    def is_out(self, gate: int, tables: KernelTables) -> None:
        for stream in self._overtaken(gate):
            stream.join(tables.numbers(gate, stream.count))
            if known := stream.window.numbers():
                tables.add_numbers(gate, stream.count, known)
            stream.leave_to_kernel()

    def is_shut_again(self, gate: int, tables: KernelTables) -> None:
        for stream in self._overtaken(gate):
            stream.join(tables.numbers(gate, stream.count))

    def _overtaken(self, gate: int) -> list[Stream]:
        flow = self._flows.by_slot.get(gate)
        return [stream for stream in flow.counts() if stream.overtaken] if flow else []
