"""Where sessions are announced: the SAP group of each IPv4 scope (RFC 2974, 3; RFC 2365, 6).

239.255.0.0/16     local                  239.255.255.255
239.192.0.0/14     organisation-local     239.195.255.255
everything else    global                 224.2.127.254
"""

from multicastmw.wire.ipv4 import number

GLOBAL = number("224.2.127.254")
ORGANISATION = number("239.195.255.255")
LOCAL = number("239.255.255.255")
SAP_GROUPS = frozenset((GLOBAL, ORGANISATION, LOCAL))


def sap_group(group: int) -> int:
    """Where a session that is sent to this group is announced."""
    if group >> 16 == LOCAL >> 16:
        return LOCAL
    return ORGANISATION if group >> 18 == ORGANISATION >> 18 else GLOBAL
