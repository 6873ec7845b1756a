"""The session directory: what is on, as SAP announces it (RFC 2974).

    overlay, TAP -- the router -- SessionsDestination --> Directory --> status, exports
                        ^                |                    |
                        |            Announcer            Replays --> the TAP alone, when a program joins
                        +---------- [session:NAME]

A player that starts would wait for everybody's next announcement, minutes perhaps.  Every node keeps what it
has heard, so a list fills as soon as a program here joins a group of SAP.
"""
