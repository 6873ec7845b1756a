"""`mcmw check` looks at the files of [tls]: what ends a start, or every link, and what soon will."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copy, rmtree
from subprocess import run
from sys import executable
from tempfile import mkdtemp
from unittest import skipIf

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from tests.cli.test_check import ROOT
from tests.cli.test_keys import KeysCase
from tests.net.test_tls import DAY, LAB, NOW

NOBODY = 65_534


class CheckKeysCase(KeysCase):
    def setUp(self) -> None:
        super().setUp()
        self.made("a", "b")

    def ini(self, certificate: str = "a.pem", key: str = "a.key", authorities: str = "authority.pem",
            more: str = "") -> str:  # fmt: skip
        """Beside the keys, and so it may name them without a folder."""
        path = self.folder / "node.ini"
        path.write_text(
            "[node]\nname = a\n[tap]\naddress = 10.88.0.1/24\n[tls]\n"
            f"certificate = {certificate}\nprivate-key = {key}\nauthorities = {authorities}\n{more}"
        )
        return str(path)

    def wrong(self, ini: str) -> str:
        out, err, code = self.mcmw("check", ini)
        self.assertEqual((out, err.count("\n"), code), ("", 1, 2), err)
        document = json.loads(self.mcmw("check", ini, "--json")[0])
        self.assertEqual(document, {"error": err.strip()})
        return err.strip().removeprefix(f"{ini}: [tls] ").replace(f"{self.folder}/", "")

    def warnings(self, ini: str) -> list[str]:
        out, err, code = self.mcmw("check", ini, "--json")
        self.assertEqual((err, code), ("", 0))
        return [text.replace(f"{self.folder}/", "") for text in json.loads(out)["warnings"]]

    def signed(self, days: int, before: int = 0) -> str:
        """The certificate of a, from now (or so many days later) for so many days, with its own key."""
        key = load_pem_private_key((self.folder / "a.key").read_bytes(), None)
        signer = load_pem_private_key((self.folder / "authority.key").read_bytes(), None)
        begins = datetime.now(UTC) + timedelta(days=before)
        builder = x509.CertificateBuilder().subject_name(x509.Name([])).public_key(key.public_key())
        builder = builder.issuer_name(self.certificate("authority").subject).serial_number(1)
        builder = builder.not_valid_before(begins).not_valid_after(begins + timedelta(days=days, hours=1))
        names = x509.SubjectAlternativeName([x509.DNSName("a")])
        certificate = builder.add_extension(names, critical=True).sign(signer, SHA256())
        (self.folder / "dated.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        return "dated.pem"


class RightTests(CheckKeysCase):
    def test_it_says_where_data_go_with_tls(self) -> None:
        for more, listen, tls in (
            ("", "data on TCP only", ""),
            ("udp-in-clear = yes\n", "data on UDP port 4600", ", data on UDP in the clear"),
        ):
            out = self.mcmw("check", self.ini(more=more))[0]
            self.assertIn(f"listen      tcp:4600, {listen}", out.splitlines())
            flat = " ".join(out.split())
            self.assertIn(f"tls with {self.path('a.pem')}{tls}", flat)
        listens = self.mcmw("check", self.written(""))[0].splitlines()
        self.assertIn("listen      tcp:4600, data on UDP port 4600", listens)
        self.assertIn("tls         none, links are in the clear", listens)

    def test_right_keys_have_no_warning_and_are_found_from_any_folder(self) -> None:
        self.assertEqual(self.warnings(self.ini()), [])
        ini = self.ini()
        for folder, name in (("/", ini), (str(self.folder), "node.ini")):
            command = [executable, "-m", "multicastmw.cli.main", "check", name]
            done = run(command, cwd=folder, capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""))


class WrongTests(CheckKeysCase):
    def test_a_file_that_is_missing(self) -> None:
        self.assertEqual(self.wrong(self.ini("x.pem")), "x.pem: No such file or directory")
        self.assertEqual(self.wrong(self.ini(key="x.key")), "x.key: No such file or directory")
        self.assertEqual(self.wrong(self.ini(authorities="x")), "x: No such file or directory")

    def test_a_key_of_another_certificate(self) -> None:
        self.assertEqual(self.wrong(self.ini(key="b.key")), "b.key holds no private key of that certificate")

    def test_a_file_that_holds_something_else(self) -> None:
        self.assertEqual(self.wrong(self.ini("a.key")), "a.key holds no certificate")
        self.assertIn("holds no private key", self.wrong(self.ini(key="a.pem")))
        self.assertIn("holds no certificate of an authority", self.wrong(self.ini(authorities="a.key")))

    def test_a_certificate_for_another_node(self) -> None:
        self.assertEqual(
            self.wrong(self.ini("b.pem", "b.key")),
            "b.pem is not for this node's name, a; `mcmw keys node a` makes one that is",
        )

    def test_one_that_has_expired_or_is_not_valid_yet(self) -> None:
        self.assertIn("dated.pem has expired on ", self.wrong(self.ini(self.signed(10, before=-20))))
        why = self.wrong(self.ini(self.signed(10, before=5)))
        self.assertIn("dated.pem is not valid before ", why)
        self.assertTrue(why.endswith("; is a clock wrong?"), why)


class WarningTests(CheckKeysCase):
    def test_one_that_expires_within_30_days(self) -> None:
        (warning,) = self.warnings(self.ini(self.signed(29)))
        self.assertRegex(warning, r"^\[tls\] dated.pem expires on 20\d\d-.* UTC, in 29 days$")
        self.assertEqual(self.warnings(self.ini(self.signed(31))), [])

    def test_one_that_our_own_authorities_have_not_signed(self) -> None:
        others = Path(mkdtemp())
        self.addCleanup(rmtree, others)
        self.mcmw("keys", "authority", "--in", str(others))
        copy(others / "authority.pem", self.folder / "other.pem")
        (warning,) = self.warnings(self.ini(authorities="other.pem"))
        self.assertIn("a.pem is from none of the authorities in other.pem", warning)
        with open(self.folder / "other.pem", "a") as file:
            file.write((self.folder / "authority.pem").read_text())
        self.assertEqual(self.warnings(self.ini(authorities="other.pem")), [])

    def test_an_authority_that_has_expired(self) -> None:
        key = LAB.key
        builder = LAB.builder(LAB.name, key.public_key(), (-2 * DAY, -DAY))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        expired = builder.sign(key, SHA256())
        with open(self.folder / "authority.pem", "ab") as file:
            file.write(expired.public_bytes(Encoding.PEM))
        (warning,) = self.warnings(self.ini())
        date = (NOW - DAY).strftime("%Y-%m-%d %H:%M UTC")
        self.assertEqual(warning, f"[tls] authority.pem: the authority CN=lab has expired on {date}")

    @skipIf(os.geteuid() != 0, "only root can be somebody else")
    def test_a_key_that_this_user_may_not_read_is_no_mistake(self) -> None:
        self.folder.chmod(0o755)
        ini = self.ini()
        # At first as root, so that all is imported that nobody may not read either.
        code = "import contextlib, io, os; from multicastmw.cli.main import main\n"
        code += "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        code += f"    main(['check', {ini!r}])\n"
        code += f"os.setgid({NOBODY}); os.setuid({NOBODY}); main(['check', {ini!r}])"
        done = run([executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("not checked, as this user may not", " ".join(done.stdout.split()))
