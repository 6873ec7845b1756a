"""A peer's certificate, as OpenSSL read it and before we asked it who its holder is.

A handshake proves that one of our authorities signed it, so a stranger has none; but authorities sign what
they are given.  Whatever stands in it, the questions behind the handshake have answers.
"""

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate
from OpenSSL import crypto

from multicastmw.cli.keys import keys
from multicastmw.net.tls import is_named, node_of, objection
from tests.fuzz.target import Target

NAME = "a.example.net"


def made() -> bytes:
    """The certificate of a node, DER."""
    with TemporaryDirectory() as folder:
        for arguments in (["authority"], ["node", NAME]):
            result = CliRunner().invoke(keys, [*arguments, "--in", folder])
            assert result.exit_code == 0, result.output
        pem = (Path(folder) / f"{NAME}.pem").read_bytes()
    return load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


class Certificates(Target):
    """Bytes that may be a certificate."""

    longest = 768
    words = (NAME.encode(), b"\x82\x0d" + NAME.encode(), b"\x55\x1d\x11", b"\x55\x1d\x13", b"\x55\x1d\x25")

    def seeds(self) -> Iterable[bytes]:
        yield made()

    def __call__(self, data: bytes) -> None:
        try:
            certificate = crypto.load_certificate(crypto.FILETYPE_ASN1, data)
        except (crypto.Error, ValueError):
            return
        why = objection(certificate, (NAME,), 0)
        assert why and why.isprintable()
        if "cannot be read" in why:
            return
        held = certificate.to_cryptography()
        its_node = node_of(held)
        assert not its_node or objection(certificate, (), 0)
        assert objection(certificate, (), its_node) is None
        assert (objection(certificate, (NAME,), its_node) is None) == is_named(held, NAME)
