"""Which router on the link asks the hosts, and by whose times (RFC 3376, 4.1.6, 4.1.7, 6.6.2)."""

from math import inf

from multicastmw.core.igmp_values import GRACE, IgmpSettings, Timing
from multicastmw.wire.igmp import Query

# Chosen: another querier that says it asks less often than this is not believed; one forged packet could
# otherwise silence us for days.  At worst we ask between its queries, which harms nobody.
LONGEST_INTERVAL = 600.0


class Election:
    """We are the querier until we hear one with a lower address, and again when it has fallen silent."""

    def __init__(self, settings: IgmpSettings, address: int) -> None:
        self._settings = settings
        self.address = address
        self.other = 0  # the elected querier, where it is not us
        self.until = inf  # when we take its place
        self.timing = Timing(settings.robustness, settings.query_interval, settings.response)

    def yields_to(self, source: int) -> bool:
        """The lower address wins; 0.0.0.0, a snooping bridge or us without a subnet, never does."""
        return source != 0 and (source < self.address or not self.address)

    def follow(self, query: Query, source: int, now: float) -> None:
        """Another asks from now on; what its query does not say (older versions: much) is as we have it."""
        own = self._settings
        if query.group:
            response = self.timing.response  # a specific query tells the last-member interval
        else:
            response = max(own.response, min(query.max_response, LONGEST_INTERVAL))
        self.timing = Timing(
            robustness=query.robustness or own.robustness,
            interval=min(query.interval or own.query_interval, LONGEST_INTERVAL),
            response=response,
            # Should it fall silent, there has to be time for answers to our first query after that.
            margin=GRACE + own.response,
        )
        self.other = source
        self.until = now + self.timing.other_present
