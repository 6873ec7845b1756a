"""Keys and certificates of a day for the daemons that want some."""

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

PRIVATE = (
    serialization.Encoding.PEM,
    serialization.PrivateFormat.TraditionalOpenSSL,
    serialization.NoEncryption(),
)


class Authority:
    """A certificate authority that signs for as long as a turn lasts; its certificate is `ca.pem`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _called("the race's authority")
        certificate = self._sign("the race's authority", self._key.public_key(), is_authority=True)
        self.certificate = folder / "ca.pem"
        self.certificate.write_bytes(certificate)

    def issue(self, name: str) -> tuple[Path, Path]:
        """The certificate and the key of a host."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate_path, key_path = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate_path.write_bytes(self._sign(name, key.public_key(), is_authority=False))
        _write_secret(key_path, key.private_bytes(*PRIVATE))
        return certificate_path, key_path

    def _sign(self, name: str, public: ec.EllipticCurvePublicKey, is_authority: bool) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_called(name))
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def rsa_keys(path: Path) -> str:
    """Writes an RSA key and gives the public one (PKCS #1)."""
    key = rsa.generate_private_key(65537, 2048)
    _write_secret(path, key.private_bytes(*PRIVATE))
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)
    return public.decode()


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _write_secret(path: Path, text: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(text)
