"""`mcmw keys`: two commands, and nodes have what TLS wants."""

import json
import os
import shutil
import stat
from datetime import UTC, datetime, timedelta
from subprocess import run

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from multicastmw.core.identity import node_id
from multicastmw.net.tls import Credentials, Files, is_named
from tests.cli.test_check import CommandCase


class KeysCase(CommandCase):
    def setUp(self) -> None:
        self.folder = self.own_folder()

    def keys(self, *arguments: str) -> tuple[str, str, int]:
        return self.mcmw("keys", *arguments, "--in", str(self.folder))

    def made(self, *names: str) -> None:
        self.assertEqual(self.keys("authority")[1:], ("", 0))
        self.assertEqual(self.keys("node", *names)[1:], ("", 0))

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def files(self, name: str) -> Files:
        return Files(self.path(f"{name}.pem"), self.path(f"{name}.key"), self.path("authority.pem"))

    def contents(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def certificate(self, name: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.folder / f"{name}.pem").read_bytes())

    def until(self, name: str) -> str:
        return f"{self.certificate(name).not_valid_after_utc:%Y-%m-%d %H:%M} UTC"

    def refused(self, *arguments: str) -> str:
        """The one line of a command that does nothing."""
        before = self.contents()
        out, err, code = self.keys(*arguments)
        self.assertEqual((out, err.count("\n"), code), ("", 1, 1), err)
        self.assertEqual(self.contents(), before)
        return err.rstrip("\n")


class MakingTests(KeysCase):
    def test_two_commands_make_a_set_that_a_node_starts_with(self) -> None:
        self.made("a", "b")
        for name in "ab":
            credentials = Credentials(self.files(name))
            self.assertTrue(is_named(credentials.certificate, name))
        self.assertNotEqual(Credentials(self.files("a")).node, Credentials(self.files("b")).node)
        self.assertNotEqual(Credentials(self.files("a")).node, node_id("a"))
        self.assertEqual(
            sorted(self.contents()),
            ["a.key", "a.pem", "authority.key", "authority.pem", "b.key", "b.pem"],
        )

    def test_openssl_finds_nothing_wrong(self) -> None:
        self.made("a", "studio-1.example.net")
        if not shutil.which("openssl"):
            return
        for name in ("a", "studio-1.example.net"):
            for purpose in ("sslclient", "sslserver"):
                words = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-verify_hostname", name]
                words += ["-CAfile", self.path("authority.pem"), self.path(f"{name}.pem")]
                done = run(words, capture_output=True, text=True, check=False)
                self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)

    def test_keys_are_for_their_owner_alone(self) -> None:
        self.addCleanup(os.umask, os.umask(0))
        self.made("a")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in self.folder.iterdir()}
        self.assertEqual(
            modes, {"authority.key": 0o600, "a.key": 0o600, "authority.pem": 0o644, "a.pem": 0o644}
        )

    def test_it_says_what_it_made_and_what_is_secret(self) -> None:
        out = self.keys("authority")[0].splitlines()
        key = self.path("authority.key")
        until = self.until("authority")
        self.assertEqual(out[:2], [f"made {key}", f"made {self.path('authority.pem')}, good until {until}"])
        self.assertEqual(out[2:], [f"keep {key} safe: who has it can add nodes"])

    def test_as_json_it_is_one_document(self) -> None:
        out, err, code = self.keys("authority", "--json")
        made = [self.path("authority.key"), self.path("authority.pem")]
        self.assertEqual((json.loads(out), err, code), ({"made": made}, "", 0))
        out, err, code = self.keys("node", "a", "--json")
        self.assertEqual(
            (json.loads(out)["made"], err, code), ([self.path("a.key"), self.path("a.pem")], "", 0)
        )
        out, err, code = self.keys("node", "a", "--json")
        wrong = f"{self.path('a.key')} is there already, and is left as it is"
        self.assertEqual((json.loads(out), err, code), ({"error": wrong}, "", 1))

    def test_a_folder_that_is_not_there_is_made(self) -> None:
        deeper = self.folder / "x" / "y"
        self.assertEqual(self.mcmw("keys", "authority", "--in", str(deeper))[2], 0)
        self.assertTrue((deeper / "authority.pem").exists())

    def test_validity_is_what_was_asked_for(self) -> None:
        self.keys("authority")
        self.keys("node", "a", "--days", "7")
        certificate = self.certificate("a")
        left = certificate.not_valid_after_utc - datetime.now(UTC)
        self.assertLess(abs(left - timedelta(days=7)), timedelta(minutes=5))
        self.assertLess(certificate.not_valid_before_utc, datetime.now(UTC) - timedelta(minutes=50))


class RenewalTests(KeysCase):
    def test_the_key_stays_and_with_it_the_nodes_id(self) -> None:
        self.made("a")
        before, node = self.contents(), Credentials(self.files("a")).node
        out, err, code = self.keys("node", "a", "--renew", "--days", "900")
        said = f"made {self.path('a.pem')}, good until {self.until('a')}\n"
        self.assertEqual((out, err, code), (said, "", 0))
        after = self.contents()
        self.assertEqual({name for name in after if after[name] != before.get(name)}, {"a.pem"})
        self.assertEqual(Credentials(self.files("a")).node, node)

    def test_a_running_node_takes_it_up(self) -> None:
        self.made("a")
        credentials = Credentials(self.files("a"))
        first = credentials.certificate.serial_number
        self.keys("node", "a", "--renew")
        credentials.context()
        self.assertNotEqual(credentials.certificate.serial_number, first)

    def test_what_was_never_made_is_not_renewed(self) -> None:
        self.made("a")
        line = self.refused("node", "b", "--renew")
        self.assertEqual(line, f"{self.path('b.key')}: No such file or directory")

    def test_of_several_all_are_renewed_or_none(self) -> None:
        self.made("t1", "t2")
        line = self.refused("node", "t1", "t2", "t9", "--renew")
        self.assertEqual(line, f"{self.path('t9.key')}: No such file or directory")
        (self.folder / "t9.key").write_text("no key")
        self.assertIn("t9.key: ", self.refused("node", "t1", "t9", "--renew"))


class MistakeTests(KeysCase):
    def test_nothing_is_written_over(self) -> None:
        self.made("a")
        left = "is there already, and is left as it is"
        self.assertEqual(self.refused("authority"), f"{self.path('authority.key')} {left}")
        self.assertEqual(self.refused("node", "a"), f"{self.path('a.key')} {left}")

    def test_it_is_all_or_nothing(self) -> None:
        self.made("b")
        self.refused("node", "a", "b", "c")
        os.unlink(self.folder / "b.key")
        self.refused("node", "b")
        os.unlink(self.folder / "authority.key")
        self.refused("authority")

    def test_a_name_given_twice_is_one(self) -> None:
        self.keys("authority")
        self.assertEqual(self.keys("node", "a", "a")[2], 0)

    def test_without_an_authority_it_says_what_makes_one(self) -> None:
        line = self.refused("node", "a")
        self.assertEqual(line, f"{self.path('authority.pem')} is not there; `mcmw keys authority` makes it")

    def test_names_that_no_certificate_can_prove_are_refused(self) -> None:
        self.keys("authority")
        for name in ("bücher", "10.0.0.1", "*", "a+b", "a:b", "fd00::1", "a b", "a/b", "", "..\n"):
            self.refused("node", name)
            self.refused("node", "good", name)

    def test_the_authoritys_files_are_nobody_elses(self) -> None:
        self.keys("authority")
        for more in ([], ["--renew"]):
            self.refused("node", "authority", *more)

    def test_broken_files_are_one_line(self) -> None:
        self.made("a")
        key = ec.generate_private_key(ec.SECP256R1())
        locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
        good = self.contents()
        for name in ("authority.key", "authority.pem"):
            for content in (b"", b"garbage", good["a.key"], good["a.pem"], locked):
                (self.folder / name).write_bytes(content)
                self.assertIn(name, self.refused("node", "c"))
            (self.folder / name).write_bytes(good[name])
        (self.folder / "a.key").write_bytes(b"garbage")
        self.assertIn("a.key", self.refused("node", "a", "--renew"))

    def test_a_folder_that_cannot_be_written_is_one_line(self) -> None:
        (self.folder / "file").write_bytes(b"")
        out, err, code = self.mcmw("keys", "authority", "--in", str(self.folder / "file" / "x"))
        self.assertEqual((out, err.count("\n"), code), ("", 1, 1))
        self.assertIn("Not a directory", err)

    def test_a_wrong_command_line_is_one_line(self) -> None:
        for arguments in (
            ["node"],
            ["node", "a", "--days", "0"],
            ["nodes", "a"],
            ["node", "a", "--days", "x"],
        ):
            _, err, code = self.mcmw("keys", *arguments)
            self.assertEqual((err.count("\n"), code), (1, 2), err)
