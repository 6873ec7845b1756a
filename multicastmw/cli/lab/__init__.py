"""Hosts as network namespaces on one machine, for `mcmw demo` and for the tests."""

from multicastmw.cli.lab.host import UPLINK, Counters, Host
from multicastmw.cli.lab.network import Internet, Lab, take_down
from multicastmw.cli.lab.process import Process
from multicastmw.cli.lab.tools import LabError, NotPossibleHere
from multicastmw.cli.lab.waiting import TimedOut, wait_until

__all__ = [
    "UPLINK",
    "Counters",
    "Host",
    "Internet",
    "Lab",
    "LabError",
    "NotPossibleHere",
    "Process",
    "TimedOut",
    "take_down",
    "wait_until",
]
