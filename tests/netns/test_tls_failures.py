"""Each way in which TLS can fail between two nodes: its line in either log, its reason in `mcmw show peers`.

Whoever is at fault, or a stranger in its place, meets a node that is not: a, which dials, or b, which is
dialled.  What both say goes to the measured figures, a paragraph each.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
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
    mcmw,
    node_ini,
    node_log,
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
    """One way: what the node at fault has, whether it dials, and what each side says of the other."""

    title: str
    dials: bool
    keys: Keys
    dialler_says: str  # behind "b at ... is not reached: "; {host} is the acceptor's name
    acceptor_says: str
    section: str = ""  # of the dialler's node.ini, where it is not the other's name


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
    Case("expired, the acceptor's", False, EXPIRED_ONE, EXPIRED_THERE, EXPIRED_HERE),
    Case("expired, the dialler's", True, EXPIRED_ONE, EXPIRED_HERE, EXPIRED_THERE),
    Case("not yet valid, the acceptor's", False, EARLY, EARLY_THERE, INVALID_HERE),
    Case("not yet valid, the dialler's", True, EARLY, INVALID_HERE, EARLY_THERE),
    Case("unknown authority, the acceptor's", False, OTHERS, UNKNOWN_THERE, UNKNOWN_HERE),
    Case("unknown authority, the dialler's", True, OTHERS, UNKNOWN_HERE, UNKNOWN_THERE),
    Case("wrong purpose, the acceptor's", False, FOR_CLIENTS, PURPOSE_THERE, PURPOSE_HERE),
    Case("wrong purpose, the dialler's", True, FOR_SERVERS, PURPOSE_HERE, PURPOSE_THERE),
    Case("wrong name", False, GOOD,
         "TLS: its certificate is {host}'s, not z's: call the section [peer:{host}]",
         "closed by the peer: our certificate is not for the node that it takes us for;"
         " in its node.ini we are [peer:{host}]", "z"),
    Case("plain acceptor", False, PLAIN, "TLS: it does not speak TLS",
         "it speaks TLS, and this node has none ([tls] is empty)"),
    Case("plain dialler: TLS required", True, PLAIN, "closed by the peer: TLS is required",
         "TLS: it does not speak TLS"),
)  # fmt: skip


class TlsFailureTests(NetnsTestCase):
    def setUp(self) -> None:
        self.folder = Path(mkdtemp(prefix="mcmw-keys-"))
        self.addCleanup(rmtree, self.folder)
        self.authority, self.others = Authority(), Authority("others")
        (self.folder / "authority.pem").write_bytes(self.authority.pem)

    def make(self, name: str, keys: Keys, key: ec.EllipticCurvePrivateKey | None = None) -> Sections:
        """The files, and the section that names them."""
        if keys.plain:
            return {}
        key = key or ec.generate_private_key(ec.SECP256R1())
        signer = self.others if keys.stranger else self.authority
        certificate = signer.certificate(*(keys.names or (name,)), key=key, **keys.how)
        (self.folder / f"{name}.key").write_bytes(key_pem(key))
        (self.folder / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        files = {"certificate": f"{name}.pem", "private-key": f"{name}.key", "authorities": "authority.pem"}
        return {"tls": {what: self.folder / file for what, file in files.items()}}

    def start(self, host: Host, keys: Keys, dials: Sequence[Host] = ()) -> None:
        host.start_node(node_ini(host, dials, self.make(host.name, keys)), ready=None)

    def row(self, title: str, *said: tuple[str, str]) -> None:
        self.measured(title, "".join(f"\n    {who:<14} {what}" for who, what in said))

    def log_line(self, host: Host, *texts: str) -> str:
        """The first line of the node's log that says all of it, without its time."""

        def look() -> str | None:
            lines = (line for line in node_log(host).splitlines() if all(text in line for text in texts))
            return next(lines, "").partition("] ")[2] or None

        return wait_until(look, PATIENCE, f"{host.name}'s log: {texts}")

    def shown(self, host: Host) -> str:
        """What `mcmw show peers` prints, in one line."""
        code, out, err = mcmw(host, "show", "peers")
        self.assertEqual((0, ""), (code, err))
        return " ".join(out.split())

    def test_each_has_its_line_and_its_reason(self) -> None:
        lab = self.make_lab(["a", "b", *(f"n{number}" for number in range(len(CASES)))])
        a, b, *others = lab.hosts
        at_fault = list(zip(CASES, others, strict=True))
        meetings = [
            (case, *((host, b, "b") if case.dials else (a, host, case.section or host.name)),
             case.dialler_says.format(host=host.name), case.acceptor_says.format(host=host.name))
            for case, host in at_fault
        ]  # fmt: skip
        self.start(b, GOOD)
        dialled = [host for case, host in at_fault if not case.dials]
        for case, host in at_fault:
            if not case.dials:
                self.start(host, case.keys)
        for host in (b, *dialled):
            host.await_status(lambda status: status["node"]["ready"], PATIENCE, "ready")
        ini = node_ini(a, dialled, self.make("a", GOOD))
        for case, host in at_fault:
            if case.section:
                ini = ini.replace(f"[peer:{host.name}]", f"[peer:{case.section}]")
            if case.dials:
                self.start(host, case.keys, [b])
        a.start_node(ini, ready=None)
        for case, dialler, _, section, why, _ in meetings:
            dialler.await_status(
                lambda s, name=section, why=why: (name, why) in [(p["name"], p["why"]) for p in s["peers"]],
                PATIENCE, f"{case.title}: {why}",
            )  # fmt: skip
        shown = {dialler: self.shown(dialler) for _, dialler, *_ in meetings}
        for case, dialler, acceptor, section, why, answer in meetings:
            line = self.log_line(dialler, f"{section} at ", "is not reached")
            where = f"{section} at tcp:{acceptor.address}:{PORT}"
            self.assertEqual(f"{where} is not reached: {why}", line, case.title)
            told = self.log_line(acceptor, answer, dialler.address)
            self.assertTrue(told.endswith(f": {answer}"), told)
            self.assertIn(f" {section}: {why}", shown[dialler], case.title)
            self.row(case.title, ("the dialler's log", line), ("the other's log", told))
        self.row("mcmw show peers at a", ("", shown[a]))
        up_or_down = re.compile(r"(at 10\.99\.\d+\.2 is (up|down))")
        for host in lab.hosts:
            self.assertEqual([], up_or_down.findall(node_log(host)), host.name)
        for host in {acceptor for _, _, acceptor, *_ in meetings}:
            self.assertEqual([], host.status()["peers"], host.name)

    # --- strangers

    def stranger(self, host: Host, **told: Any) -> Any:
        told = {"port": PORT, "version": "TLSv1_3", "certificate": "", "key": "", **told}
        return host.spawn(python("tls_stranger.py", told), log=f"{host.name}-stranger")

    def test_who_calls_without_a_certificate_or_with_an_old_tls(self) -> None:
        a, b = self.make_lab("ab").hosts
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
        a, b = self.make_lab("ab").hosts
        self.make("b", GOOD)
        files = {"certificate": str(self.folder / "b.pem"), "key": str(self.folder / "b.key")}
        self.stranger(b, role="server", address=b.address, version="TLSv1_2", **files)
        self.start(a, GOOD, [b])
        why = "TLS: it does not speak TLS 1.3"
        a.await_status(lambda s: s["peers"] and s["peers"][0]["why"] == why, PATIENCE, why)
        line = self.log_line(a, why)
        self.row("TLS 1.2, the acceptor's", ("a's log", line), ("a's show peers", self.shown(a)))

    # --- one's own files

    def test_ones_own_certificate_for_another_name_ends_the_start(self) -> None:
        _, b = self.make_lab("ab").hosts
        ini = node_ini(b, sections=self.make("b", Keys(names=("z",))))
        node = b.start_node(ini, ready=None)
        self.assertGreater(node.wait(PATIENCE), 0)
        line = f"mcmw: [tls] {self.folder / 'b.pem'} is not for this node's name, b"
        self.assertIn(line, node.log.read_text() + node.read_output())
        self.row("one's own certificate is for another name", ("b's last words", line))

    def test_a_changed_key_is_not_taken_and_the_old_one_stays_in_use(self) -> None:
        a, b = self.make_lab("ab").hosts
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
