"""When to dial a peer: soon at first, politely later, and never given up; and when to stand by instead.

              the wait is over            both said Open
    WAITING -------------------> DIALLING ----------------> UP
       ^ ^        failed            |                        |  down
       | +--------------------------+------------------------+
       |                            |  it would close a cycle
       | the peer is out of reach   v
       +------------------------ STANDBY   (dialled now and then all the same, so that it is known to work)

A link that would close a cycle is refused by either side, and is worth having all the same: the dialler asks
again now and then, and at once when the peer is reached no more by any other way.  Refused while this side
sees no cycle, it asks again soon: one of the two has not heard yet that the other way is gone.

Several standbys may be needed by the same cut, each at another node.  They dial at random moments; those that
come up while news of each other are still under way make a cycle, and perhaps all of them are closed for it.
That is a collision, as on an Ethernet, and so is the cure: the moments are drawn from twice as long a time.

Two nodes of one name take a link from each other as long as nobody names them apart.  A link that was up for
some seconds would be dialled again without delay; here each waits twice as long as the last time.  At two
nodes of one tree they take nothing from each other: one is in, and the other would close a cycle, or so it is
told.  But a cycle is seen from both sides.  Who reaches the peer by nothing, and hears again and again that
the peer reaches it, is a namesake, unless its own old link is still counted up somewhere.
"""

from enum import StrEnum

from multicastmw.core.liveness import Pick

# What the specification says (DESIGN, "The conduct of a link" and 5).
FIRST_WAIT = 0.25
EAGER_WAIT_MAX = 2.0
EAGER_FOR = 300.0
PATIENT_WAIT_MAX = 15.0
JITTER = 0.25
DIAL_TIMEOUT = 4.0
STANDBY_WAIT = 2.0, 6.0  # seconds between two looks whether a standby still is one
TAKEOVER_WAIT_MAX = 0.2  # seconds until it is dialled when it is needed

# What we chose.
STABLE = 5.0  # a link that was up for so many seconds is dialled again without delay
NAMESAKE_WAIT = 2.0, 60.0  # seconds until a link that a node of our own name has taken is asked for again
PEACE = 300.0  # seconds; a link that was up for so long is not fought over any more
ELSEWHERE_FOR = 30.0  # seconds, or twice the longest patience: what was said of us before is forgotten then
ELSEWHERE_PAUSE = 120.0  # seconds without a word of it, and that time begins anew
COLLISIONS_MAX = 5  # doublings of the time to take over: 6.4 s
COLLIDED = 5.0  # seconds: who is needed again so soon after a link was closed for a cycle has collided
UNSEEN_WAIT_MAX = 0.5  # seconds, while a cycle is seen by the other side alone, ...
UNSEEN_MAX = 40  # ... for so many dials; then the peer errs, and is dialled as any other
NEVER = float("inf")


class Backoff:
    """The waits between attempts at one peer, since it was last up."""

    def __init__(self, now: float, pick: Pick) -> None:
        self._pick = pick
        self.attempts = 0
        self._since = now

    def succeeded(self, now: float) -> None:
        """The peer was up until now: begin anew."""
        self.attempts = 0
        self._since = now

    def wait(self, now: float) -> float:
        """Seconds until the next attempt, one more having failed."""
        longest = EAGER_WAIT_MAX if now - self._since < EAGER_FOR else PATIENT_WAIT_MAX
        wait: float = min(longest, FIRST_WAIT * 2 ** min(self.attempts, 10))
        self.attempts += 1
        return min(longest, wait * self._pick(1 - JITTER, 1 + JITTER))


class State(StrEnum):
    """The values are what people read."""

    WAITING = "waiting"
    DIALLING = "dialling"
    UP = "up"
    STANDBY = "standby"


class Dialler:
    """One peer's dialling; `why` is why it is not up, `since` when the state began."""

    def __init__(self, now: float, pick: Pick) -> None:
        self.state = State.WAITING
        self.why = ""
        self.since = now
        self.backoff = Backoff(now, pick)
        self._pick = pick
        self._due = now
        self._dialled_at = now
        self._unseen = 0
        self._collisions = 0
        self._elsewhere_since = self._elsewhere_at = -NEVER  # the peer said first, last, that it reaches us
        self._taken = 0  # times that a node of our own name has taken the link
        self._closed_at = -NEVER  # when a link that was up was closed for a cycle
        self._is_standby = False  # also while it is dialled to see whether it still is one

    def deadline(self) -> float:
        return self._due

    def tick(self, now: float) -> bool:
        """Is it to be dialled now?"""
        if now < self._due:
            return False
        self._enter(State.DIALLING, now)
        self._dialled_at = now
        self._due = NEVER
        return True

    def up(self, now: float) -> None:
        """There is a link, whoever dialled it."""
        self._enter(State.UP, now)
        self.why = ""
        self._due = NEVER
        self._unseen = 0

    def failed(self, why: str, now: float) -> None:
        """The dial failed, or its connection ended before both had said Open.

        A wait is from dial to dial, so one that took its time is followed the sooner.
        """
        wait = self.backoff.wait(now)
        self._wait(max(wait - (now - self._dialled_at), min(wait, FIRST_WAIT)), why, now)

    def down(self, why: str, since: float, now: float) -> None:
        """The link that was up from `since` on is down."""
        if now - since >= STABLE:  # else two clones would throw each other out four times a second
            self.backoff.succeeded(now)
            self._collisions = 0
        self._elsewhere_at = -NEVER
        self._wait(self.backoff.wait(now), why, now)

    def taken(self, why: str, since: float, now: float) -> None:
        """A node of our own name has the link that was up from `since` on, or was not to be up at all."""
        if now - since >= PEACE:
            self._taken = 0
        first, longest = NAMESAKE_WAIT
        wait = min(longest, first * 2 ** min(self._taken, 10))
        self._taken += 1
        self._wait(wait * self._pick(1 - JITTER, 1 + JITTER), why, now)

    def is_elsewhere(self, patience: float, now: float) -> bool:
        """The peer, which this side does not reach, reaches us: has it said so for longer than news lives?"""
        if now - self._elsewhere_at > ELSEWHERE_PAUSE:
            self._elsewhere_since = now
        self._elsewhere_at = now
        return now - self._elsewhere_since >= max(ELSEWHERE_FOR, 2 * patience)

    def refused(self, why: str, was_up: bool, is_reached: bool, now: float) -> bool:
        """The link closes a cycle, or would; `is_reached`: does this side reach the peer otherwise?

        True where that is news: it was no standby before.
        """
        if was_up:
            self._closed_at = now
        if not is_reached:
            if was_up:
                self._take_over(why, now)
            else:
                self._ask_soon(why, now)
            return False
        self._unseen = 0
        self._elsewhere_at = -NEVER
        news = not self._is_standby
        self._enter(State.STANDBY, now)
        self.why = why
        self.backoff.succeeded(now)
        self._due = now + self._pick(*STANDBY_WAIT)
        return news

    def _ask_soon(self, why: str, now: float) -> None:
        """Only the peer sees a cycle, for now."""
        self._unseen += 1
        most = UNSEEN_WAIT_MAX if self._unseen <= UNSEEN_MAX else NEVER
        self._wait(min(self.backoff.wait(now), most), why, now)

    def lost_reach(self, now: float) -> None:
        """The peer is reached no more: a standby takes over."""
        if self.state is State.STANDBY:
            self._take_over(self.why, now)

    def _take_over(self, why: str, now: float) -> None:
        collided = now - self._closed_at < COLLIDED
        self._collisions = min(self._collisions + 1, COLLISIONS_MAX) if collided else 0
        self._wait(self._pick(0.0, TAKEOVER_WAIT_MAX * 2**self._collisions), why, now)

    def _wait(self, seconds: float, why: str, now: float) -> None:
        self.why = why
        self._enter(State.WAITING, now)
        self._due = now + seconds

    def _enter(self, state: State, now: float) -> None:
        self.state = state
        self.since = now
        if state is not State.DIALLING:
            self._is_standby = state is State.STANDBY
