"""Our own nodes.  The fast contestant says `mode = require`, so that it never is a slow one in disguise."""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import multicastmw
from bench.race.contestants.base import HUB, PATIENCE, Contestant, everywhere
from bench.race.contestants.native import lay_cables
from multicastmw.cli.lab import Lab, LabError
from multicastmw.cli.overlay import DEVICE, FigureFour

CHECK = [sys.executable, "-m", "multicastmw.cli.main", "check"]
KEYS = [sys.executable, "-m", "multicastmw.cli.main", "keys"]


class Ours(Contestant):
    def __init__(self, name: str, title: str, cipher: str, transport: str, fast: bool = False) -> None:
        super().__init__(name, title, cipher, transport)
        self._mode = "require" if fast else "off"

    def why_not(self) -> str | None:
        """A mode that this release does not have is refused by `mcmw check`."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "node.ini")
            path.write_text(f"[node]\nname = race\n\n[fastpath]\nmode = {self._mode}\n")
            done = subprocess.run([*CHECK, str(path)], capture_output=True, text=True, check=False)
        if not done.returncode:
            return None
        last = (done.stderr.strip().splitlines() or ["refused"])[-1]
        return "not built in this release" if "not built" in last else last.partition("node.ini: ")[2] or last

    def version(self) -> str:
        return f"mcmw {multicastmw.__version__}"

    def start(self, lab: Lab) -> dict[str, str]:
        tree = self._tree(lab)
        if self.transport == "TLS":
            make_keys(lab.state_dir)
        tree.start(lab)
        return everywhere(lab, DEVICE)

    def _tree(self, lab: Lab) -> "Tree":
        return Tree(self.transport, self._mode)

    def check(self, lab: Lab, group: str) -> None:
        fast = self._mode != "off"
        for host in lab.hosts:
            host.await_status(
                lambda s: [r["fast"] for r in s["routes"] if r["group"] == group] == [fast], PATIENCE,
                f"{group} forwarded by {'the kernel' if fast else 'the node'}",
            )  # fmt: skip


class OnCables(Ours):
    """As native has it, with no internet between the hosts: what wrapping costs, and nothing besides."""

    note = "on native's cables: no internet between the hosts"

    def _tree(self, lab: Lab) -> "Tree":
        return Tree(self.transport, self._mode, lay_cables(lab))


class Tree(FigureFour):
    """Figure 4 with the fast path and TLS as the contestant has them; `hubs` is where each leaf finds b."""

    def __init__(self, transport: str, mode: str, hubs: Mapping[str, str] | None = None) -> None:
        super().__init__(udp=transport == "UDP")
        self._tls = transport == "TLS"
        self._mode = mode
        self._hubs = hubs

    def ini(self, lab: Lab, name: str) -> str:
        text = super().ini(lab, name)
        if self._hubs:
            there = lab.host(HUB).address
            text = text.replace(f":interface={there}", "").replace(there, self._hubs.get(name, there))
        text += f"\n[fastpath]\nmode = {self._mode}\n"
        if self._tls:
            folder = lab.state_dir
            text += (f"\n[tls]\ncertificate = {folder}/{name}.pem\nprivate-key = {folder}/{name}.key\n"
                     f"authorities = {folder}/authority.pem\n")  # fmt: skip
        return text


def make_keys(folder: Path) -> None:
    for told in (["authority"], ["node", "a", "b", "c", "d"]):
        done = subprocess.run(
            [*KEYS, *told, "--in", str(folder)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise LabError(f"mcmw keys: {done.stderr.strip()}")
