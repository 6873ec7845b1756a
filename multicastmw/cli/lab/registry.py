"""What exists because of a lab, on disk: so that whatever happens to its owner, it can be removed.

    /run/mcmw-lab/lock             held while labs are made or swept
    /run/mcmw-lab/NAME/owner       locked as long as the process that made the lab lives
    /run/mcmw-lab/NAME/lab.json    boot id, namespaces, processes; written *before* they are made
    /run/mcmw-lab/NAME/*.sock      control sockets of the lab's nodes

A lab whose owner file can be locked is an orphan, unless it was kept on purpose.  The kernel lets go of
the lock when the owner dies, however it dies; no number can be mistaken for another.
"""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from multicastmw.cli.lab.process import Identity, end
from multicastmw.cli.lab.tools import LabError, run_tool

BASE = Path("/run/mcmw-lab")
NAMESPACES = Path("/run/netns")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass
class Record:
    """The contents of a lab.json."""

    name: str
    prefix: str
    kept: bool = False
    boot: str = field(default_factory=lambda: BOOT_ID.read_text().strip())
    namespaces: list[str] = field(default_factory=list)
    processes: list[Identity] = field(default_factory=list)


class Entry:
    """One lab's folder under /run and the record in it."""

    def __init__(self, record: Record, owner: int, base: Path = BASE) -> None:
        self.record = record
        self.folder = base / record.name
        self._owner = owner  # a descriptor: as long as it is open, the lab has an owner

    def save(self) -> None:
        new = self.folder / "lab.json.new"
        new.write_text(json.dumps(asdict(self.record), indent=1))
        new.replace(self.folder / "lab.json")

    def let_go(self) -> None:
        """Leaves everything in place, without an owner."""
        os.close(self._owner)

    def remove(self) -> None:
        """Ends the recorded processes, deletes the recorded namespaces and forgets the lab."""
        record = self.record
        networks = {inode for name in record.namespaces if (inode := network_of(name)) is not None}
        if record.boot == BOOT_ID.read_text().strip():
            end(record.processes, networks)
        for name in record.namespaces:
            if (NAMESPACES / name).exists():
                with contextlib.suppress(LabError):
                    run_tool(["ip", "netns", "del", name])
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._owner)


def network_of(namespace: str) -> int | None:
    """The inode of a named network namespace, None where there is none."""
    try:
        return (NAMESPACES / namespace).stat().st_ino
    except OSError:
        return None


def enter(prefix: str, base: Path = BASE) -> Entry:
    """A new lab with a name of its own, `prefix` and four digits; orphans of that prefix go first."""
    with _locked(base):
        for orphan in _unowned(base, prefix):
            if not orphan.record.kept:
                orphan.remove()
            else:
                orphan.let_go()
        while True:
            name = f"{prefix}-{secrets.token_hex(2)}"
            if not (base / name).exists() and not any(NAMESPACES.glob(f"{name}-*")):
                break
        (base / name).mkdir()
        owner = _own(base / name)
        assert owner is not None  # the folder is there, and nobody else makes labs while we hold the lock
        entry = Entry(Record(name, prefix), owner, base)
        entry.save()
        return entry


def take_down(prefix: str, base: Path = BASE) -> list[str]:
    """Removes every lab of this prefix that has no owner, kept ones too; gives their names."""
    if not base.is_dir():
        return []
    with _locked(base):
        gone = []
        for entry in _unowned(base, prefix):
            entry.remove()
            gone.append(entry.record.name)
        return gone


@contextlib.contextmanager
def _locked(base: Path) -> Iterator[None]:
    base.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor = os.open(base / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _own(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock; None where somebody lives who does, or just removed it."""
    try:
        descriptor = os.open(folder / "owner", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _unowned(base: Path, prefix: str) -> Iterator[Entry]:
    """Labs of this prefix whose owner is gone; whoever takes one removes it or lets it go."""
    for folder in sorted(path for path in base.iterdir() if path.is_dir()):
        owner = _own(folder)
        if owner is None:
            continue
        if not (folder / "lab.json").exists():
            # Its maker died between the folder and the first save: nothing else was made yet.
            shutil.rmtree(folder, ignore_errors=True)
            os.close(owner)
            continue
        record = _read(folder / "lab.json")
        if record is not None and record.prefix == prefix:
            yield Entry(record, owner, base)
        else:
            os.close(owner)


def _read(path: Path) -> Record | None:
    """None where another release wrote it, which knows better what to do with it, and where it just went."""
    try:
        value = json.loads(path.read_text())
        value["processes"] = [Identity(*item) for item in value["processes"]]
        return Record(**value)
    except (OSError, ValueError, TypeError, KeyError):
        return None
