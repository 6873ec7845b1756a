"""What this machine lacks for whole nodes: the reason that a test case gives as its `skip`."""

from multicastmw.cli.demo import check_machine
from multicastmw.cli.film import NoFfmpeg
from multicastmw.cli.lab import Lab, LabError, NotPossibleHere


def missing(film: bool = False) -> str | None:
    """Why a lab, and with `film` a demo, cannot run here; None where it can."""
    try:
        check_machine()
    except NoFfmpeg as error:
        if film:
            return str(error)
    except NotPossibleHere as error:
        return str(error)
    return None


def no_lab() -> str | None:
    """Why no namespaces can be made here, tried; None where they can."""
    if reason := missing():
        return reason
    try:
        with Lab("mcmw-try", "/tmp", "a"):
            return None
    except LabError as error:
        return str(error)
