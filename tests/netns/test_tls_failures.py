"""Each way in which TLS can fail between two nodes: its line in either log, its reason in `mcmw show peers`.

a dials b.  One of the two is at fault, or a stranger is in its place; what both say goes to the measured
figures, a paragraph each.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from subprocess import run
from tempfile import mkdtemp
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from multicastmw.cli.lab import Host, wait_until
from tests.net.test_tls import EXPIRED, TOO_SOON, Authority, key_pem
from tests.netns.kit import (
    PATIENCE,
    PORT,
    NetnsTestCase,
    Sections,
    await_linked,
    node_ini,
    node_log,
    peer_of,
    python,
)


@dataclass
class Keys:
    """What a node has: how its certificate is made, or none."""

    names: tuple[str, ...] = ()  # none: its own
    how: dict[str, Any] = field(default_factory=dict)
    stranger: bool = False  # signed by somebody else
    plain: bool = False


@dataclass(frozen=True)
class Case:
    """One way: who has what, and what each side says of the other."""

    title: str
    a: Keys
    b: Keys
    a_says: str  # behind "b at ... is not reached: "
    b_says: str
    section: str = "b"


GOOD, PLAIN, OTHERS = Keys(), Keys(plain=True), Keys(stranger=True)
EXPIRED_ONE, EARLY = Keys(how={"valid": EXPIRED}), Keys(how={"valid": TOO_SOON})
FOR_CLIENTS = Keys(how={"purpose": x509.ExtendedKeyUsageOID.CLIENT_AUTH})
FOR_SERVERS = Keys(how={"purpose": x509.ExtendedKeyUsageOID.SERVER_AUTH})
EXPIRED_THERE = "TLS: its certificate has expired"
EXPIRED_HERE = "TLS: it says that our certificate has expired"
EARLY_THERE = "TLS: its certificate is not valid yet; is a clock wrong?"
INVALID_HERE = "TLS: it says that our certificate is not valid"
UNKNOWN_THERE = "TLS: its certificate is not from one of our authorities"
UNKNOWN_HERE = "TLS: it says that our certificate is not from one of its authorities"
PURPOSE_THERE = "TLS: its certificate is not for this purpose"
PURPOSE_HERE = "TLS: it says that our certificate is not for this purpose"

CASES = (
    Case("expired, the acceptor's", GOOD, EXPIRED_ONE, EXPIRED_THERE, EXPIRED_HERE),
    Case("expired, the dialler's", EXPIRED_ONE, GOOD, EXPIRED_HERE, EXPIRED_THERE),
    Case("not yet valid, the acceptor's", GOOD, EARLY, EARLY_THERE, INVALID_HERE),
    Case("not yet valid, the dialler's", EARLY, GOOD, INVALID_HERE, EARLY_THERE),
    Case("unknown authority, the acceptor's", GOOD, OTHERS, UNKNOWN_THERE, UNKNOWN_HERE),
    Case("unknown authority, the dialler's", OTHERS, GOOD, UNKNOWN_HERE, UNKNOWN_THERE),
    Case("wrong purpose, the acceptor's", GOOD, FOR_CLIENTS, PURPOSE_THERE, PURPOSE_HERE),
    Case("wrong purpose, the dialler's", FOR_SERVERS, GOOD, PURPOSE_HERE, PURPOSE_THERE),
    Case("wrong name", GOOD, GOOD, "TLS: its certificate is b's, not c's: call the section [peer:b]",
         "closed by the peer: our certificate is not for the node that it takes us for;"
         " in its node.ini we are [peer:b]", "c"),
    Case("plain acceptor", GOOD, PLAIN, "TLS: it does not speak TLS",
         "it speaks TLS, and this node has none ([tls] is empty)"),
    Case("plain dialler: TLS required", PLAIN, GOOD, "closed by the peer: TLS is required",
         "TLS: it does not speak TLS"),
)  # fmt: skip


class TlsFailureTests(NetnsTestCase):
    def setUp(self) -> None:
        self.folder = Path(mkdtemp(prefix="mcmw-keys-"))
        self.addCleanup(rmtree, self.folder)
        self.lab, self.others = Authority(), Authority("others")
        (self.folder / "authority.pem").write_bytes(self.lab.pem)
        self.hosts = self.make_lab("ab").hosts

    def make(self, name: str, keys: Keys, key: ec.EllipticCurvePrivateKey | None = None) -> Sections:
        """The files, and the section that names them."""
        if keys.plain:
            return {}
        key = key or ec.generate_private_key(ec.SECP256R1())
        signer = self.others if keys.stranger else self.lab
        certificate = signer.certificate(*(keys.names or (name,)), key=key, **keys.how)
        (self.folder / f"{name}.key").write_bytes(key_pem(key))
        (self.folder / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        files = {"certificate": f"{name}.pem", "private-key": f"{name}.key", "authorities": "authority.pem"}
        return {"tls": {what: self.folder / file for what, file in files.items()}}

    def start(self, host: Host, keys: Keys, dials: Sequence[Host] = (), section: str = "b") -> None:
        ini = node_ini(host, dials, self.make(host.name, keys))
        host.start_node(ini.replace("[peer:b]", f"[peer:{section}]"), ready=None)

    def row(self, title: str, *said: tuple[str, str]) -> None:
        self.measured(title, "".join(f"\n    {who:<14} {what}" for who, what in said))

    def log_line(self, host: Host, text: str) -> str:
        """The first line of the node's log that says it, without its time."""

        def look() -> str | None:
            lines = (line for line in node_log(host).splitlines() if text in line)
            return next(lines, "").partition("] ")[2] or None

        return wait_until(look, PATIENCE, f"{host.name}'s log: {text}")

    def shown(self, host: Host, peer: str) -> str:
        """What `mcmw show peers` prints of a peer that is not up, from its state to its reason."""
        command = [sys.executable, "-m", "multicastmw.cli.main", "--socket", str(host.socket)]
        done = run([*command, "show", "peers"], capture_output=True, text=True, check=True)
        return " ".join(" ".join(done.stdout.splitlines()[1:]).split())

    def test_each_has_its_line_and_its_reason(self) -> None:
        for case in CASES:
            self.fail_as(case)

    def fail_as(self, case: Case) -> None:
        a, b = self.hosts
        self.start(b, case.b)
        b.await_status(lambda status: status["node"]["ready"], PATIENCE, "ready")
        self.start(a, case.a, [b], case.section)
        status = a.await_status(
            lambda s: s["peers"] and s["peers"][0]["why"], PATIENCE, "why b is not reached"
        )
        self.assertEqual(case.a_says, peer_of(status, case.section)["why"], case.title)
        lines = self.log_line(a, "is not reached"), self.log_line(b, case.b_says)
        self.assertEqual(
            f"{case.section} at tcp:{b.address}:{PORT} is not reached: {case.a_says}", lines[0], case.title
        )
        self.assertTrue(lines[1].endswith(f": {case.b_says}") and a.address in lines[1], lines[1])
        shown = self.shown(a, case.section)
        self.assertIn(f" {case.a_says[:20]}", shown)
        up_or_down = re.compile(r"(at 10\.99\.\d\.2 is (up|down))")
        self.assertEqual([], up_or_down.findall(node_log(a) + node_log(b)), case.title)
        self.assertEqual([], b.status()["peers"])
        self.row(case.title, ("a's log", lines[0]), ("a's show peers", shown), ("b's log", lines[1]))
        a.stop_node()
        b.stop_node()

    # --- strangers

    def stranger(self, host: Host, **told: Any) -> Any:
        told = {"port": PORT, "version": "TLSv1_3", "certificate": "", "key": "", **told}
        return host.spawn(python("tls_stranger.py", told), log=f"{host.name}-stranger")

    def test_who_calls_without_a_certificate_or_with_an_old_tls(self) -> None:
        a, b = self.hosts
        self.start(b, GOOD)
        b.await_status(lambda status: status["node"]["ready"], PATIENCE, "ready")
        self.make("a", GOOD)
        files = {"certificate": str(self.folder / "a.pem"), "key": str(self.folder / "a.key")}
        for title, text, told in (
            ("no certificate, the dialler's", "TLS: it has no certificate", {}),
            ("TLS 1.2, the dialler's", "TLS: it does not speak TLS 1.3", {"version": "TLSv1_2", **files}),
        ):
            self.stranger(a, role="client", address=b.address, **told).wait(PATIENCE)
            self.row(title, ("b's log", self.log_line(b, text)))
        self.assertEqual([], b.status()["peers"])

    def test_who_answers_with_an_old_tls(self) -> None:
        a, b = self.hosts
        self.make("b", GOOD)
        files = {"certificate": str(self.folder / "b.pem"), "key": str(self.folder / "b.key")}
        self.stranger(b, role="server", address=b.address, version="TLSv1_2", **files)
        self.start(a, GOOD, [b])
        why = "TLS: it does not speak TLS 1.3"
        a.await_status(lambda s: s["peers"] and s["peers"][0]["why"] == why, PATIENCE, why)
        line = self.log_line(a, why)
        self.row("TLS 1.2, the acceptor's", ("a's log", line), ("a's show peers", self.shown(a, "b")))

    # --- one's own files

    def test_ones_own_certificate_for_another_name_ends_the_start(self) -> None:
        _, b = self.hosts
        ini = node_ini(b, sections=self.make("b", Keys(names=("z",))))
        node = b.start_node(ini, ready=None)
        self.assertGreater(node.wait(PATIENCE), 0)
        line = f"mcmw: [tls] {self.folder / 'b.pem'} is not for this node's name, b"
        self.assertIn(line, node.log.read_text() + node.read_output())
        self.row("one's own certificate is for another name", ("b's last words", line))

    def test_a_changed_key_is_not_taken_and_the_old_one_stays_in_use(self) -> None:
        a, b = self.hosts
        self.start(b, GOOD)
        self.start(a, GOOD, [b])
        await_linked(a, "b", "tcp")
        self.make("b", GOOD)  # with another key
        a.stop_node()
        self.start(a, GOOD, [b])
        await_linked(a, "b", "tcp")
        path = self.folder / "b.pem"
        line = self.log_line(b, "restart")
        why = "is of another key, and so of another node: restart; what was there before stays in use"
        self.assertEqual(f"[tls] {path} {why}", line)
        self.row("key changed", ("b's log", line))
