"""`mcmw keys`: a private authority and the nodes' certificates, in two commands."""

import datetime
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from multicastmw.cli.main import Failure, exit_codes
from multicastmw.literals import node_name

AUTHORITY_NAME = "Multicast Middleware"
AUTHORITY_YEARS = 10
NODE_DAYS = 730
AUTHORITY, AUTHORITY_KEY = "authority.pem", "authority.key"
CLOCKS_DIFFER = datetime.timedelta(hours=1)  # a host whose clock is behind takes a new certificate too

CODES = {0: "they are made", 1: "they are not, and one line says why"}


@click.group(epilog=exit_codes({}))
def keys() -> None:
    """Make the keys of nodes that talk over TLS.

    \b
    mcmw keys authority         once, on a machine that you keep safe
    mcmw keys node a b c d      a key and a certificate for each of these nodes
    mcmw keys node b --renew    before b's certificate ends: the same key, signed
                                again, and so the same node id

    Then each node gets authority.pem, and its own NAME.pem and NAME.key, which
    must be readable for the user that it runs as:

    \b
    [tls]
    certificate = /etc/mcmw/a.pem
    private-key = /etc/mcmw/a.key
    authorities = /etc/mcmw/authority.pem

    No node needs authority.key: who has it can add nodes to yours.  A node takes a
    renewed NAME.pem at its next connection, without a restart, and says so in its
    log.  To change the authority, put the new one behind the old one in every
    authority.pem, give out new certificates, and take the old one away.

    `openssl x509 -in a.pem -noout -text` shows what is in a certificate.
    """


FOLDER = click.option(
    "--in", "folder", type=click.Path(file_okay=False, path_type=Path), default=".", show_default=True,
    help="The folder of the files.",
)  # fmt: skip
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")


@keys.command(epilog=exit_codes(CODES), short_help="Make a private certificate authority.")
@FOLDER
@click.option("--name", default=AUTHORITY_NAME, show_default=True, help="What the authority is called.")
@JSON
def authority(folder: Path, name: str, as_json: bool) -> None:
    """Make a private certificate authority: authority.pem, and authority.key, which is the secret.

    An authority that is there already is left alone, as the certificates that it signed would be void.
    """
    made = make_authority(folder, name)
    _say(made, as_json, f"keep {folder / AUTHORITY_KEY} safe: who has it can add nodes")


@keys.command(epilog=exit_codes(CODES), short_help="Make the key and the certificate of each node.")
@click.argument("names", nargs=-1, required=True)
@FOLDER
@click.option(
    "--days", type=click.IntRange(1, 3650), default=NODE_DAYS, show_default=True, help="Valid so long."
)
@click.option("--renew", is_flag=True, help="Sign the keys that are there again; running nodes take it up.")
@JSON
def node(names: tuple[str, ...], folder: Path, days: int, renew: bool, as_json: bool) -> None:
    """Make keys and certificates for nodes: NAME.pem and NAME.key for each of NAMES.

    NAME is the node's name: `[node] name` of its own node.ini, and NAME of `[peer:NAME]` in the others'.
    With --renew the key stays, and with it the node's id.
    """
    made = make_node(folder, names, days, renew)
    _say(made, as_json, None)


def make_authority(folder: Path, name: str = AUTHORITY_NAME) -> list[Path]:
    """What `mcmw keys authority` makes; raises Failure."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    _check_free(folder / AUTHORITY_KEY, folder / AUTHORITY)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    days = datetime.timedelta(days=365 * AUTHORITY_YEARS)
    builder = _builder(subject, subject, key.public_key(), days)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    certificate = builder.sign(key, _sha256())
    return [_write_key(folder / AUTHORITY_KEY, key), write(folder / AUTHORITY, _pem(certificate), 0o644)]


def make_node(
    folder: Path,
    names: Sequence[str],
    days: int = NODE_DAYS,
    renew: bool = False,
    folders: Mapping[str, Path] | None = None,
) -> list[Path]:
    """What `mcmw keys node` makes, in the authority's folder or each in one of its own; raises Failure."""
    signer, its_key = _authority(folder)
    check_names(names)
    where = dict.fromkeys(names, folder) if folders is None else folders
    for name in [] if renew else names:
        _check_free(where[name] / f"{name}.key", where[name] / f"{name}.pem")
    # All keys are read before the first certificate is written: what is said of one then holds for all.
    there = {name: _load_key(where[name] / f"{name}.key") for name in names} if renew else {}
    made: list[Path] = []
    for name in dict.fromkeys(names):
        made += _node(where[name], name, signer, its_key, days, there.get(name))
    return made


def _node(folder: Path, name: str, signer: Any, its_key: Any, days: int, key: Any) -> list[Path]:
    """A certificate for this key; for a new one, and the key, where it is None."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    renew, made = key is not None, []
    if key is None:
        key = ec.generate_private_key(ec.SECP256R1())
        made = [_write_key(folder / f"{name}.key", key)]
    builder = _builder(x509.Name([]), signer.subject, key.public_key(), datetime.timedelta(days=days))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    signed_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(its_key.public_key())
    certificate = builder.add_extension(signed_by, critical=False).sign(its_key, _sha256())
    return [*made, write(folder / f"{name}.pem", _pem(certificate), 0o644, over=renew)]


def check_names(names: Sequence[str]) -> None:
    """Raises Failure where one is none that a node and its certificate can have."""
    for name in names:
        _check_name(name)


def _check_name(name: str) -> None:
    """Is this a node's name, and one that is found in a certificate again?"""
    from service_identity.hazmat import DNS_ID

    try:
        node_name(name)
    except ValueError as error:
        raise Failure(str(error)) from None
    try:
        name.encode("ascii")
        DNS_ID(name)
    except ValueError:
        why = "a certificate holds names of ASCII letters, digits, dots, - and _ only, and no addresses"
        raise Failure(f"{name}: {why}") from None
    if name in (".", ".."):
        raise Failure(f"{name}: that is a folder of every folder, and no name")
    if f"{name}.key" == AUTHORITY_KEY:
        raise Failure(f"{name}: that is what the files of the authority are called")


def _check_free(*paths: Path) -> None:
    """Before anything is made: half a set would be worse than none."""
    for path in paths:
        if os.path.lexists(path):  # a link to nowhere, too
            raise Failure(f"{path} is there already, and is left as it is")


def _builder(subject: Any, issuer: Any, public_key: Any, valid: datetime.timedelta) -> Any:
    from cryptography import x509

    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCKS_DIFFER)
        .not_valid_after(now + valid)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _usage(signs_certificates: bool) -> Any:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _sha256() -> Any:
    from cryptography.hazmat.primitives.hashes import SHA256

    return SHA256()


def _pem(certificate: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return bytes(certificate.public_bytes(Encoding.PEM))


def _authority(folder: Path) -> tuple[Any, Any]:
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate((folder / AUTHORITY).read_bytes())
    except FileNotFoundError:
        raise Failure(f"{folder / AUTHORITY} is not there; `mcmw keys authority` makes it") from None
    except (OSError, ValueError) as error:
        raise Failure(f"{folder / AUTHORITY}: {error}") from None
    key = _load_key(folder / AUTHORITY_KEY)
    if key.public_key() != certificate.public_key():
        raise Failure(f"{folder / AUTHORITY_KEY} is not the key of {folder / AUTHORITY}")
    return certificate, key


def _load_key(path: Path) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise Failure(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def _write_key(path: Path, key: Any) -> Path:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return write(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)


def write(path: Path, content: bytes, mode: int, over: bool = False) -> Path:
    """All or nothing, and never over what is there unless that is meant."""
    if not over:
        _check_free(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
        os.replace(beside, path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise Failure(f"{path}: {error.strerror}") from None
    return path


def _until(path: Path) -> str:
    """How long a certificate is good; keys are for ever."""
    if path.suffix != ".pem":
        return ""
    from cryptography import x509

    ends = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    return f", good until {ends:%Y-%m-%d %H:%M} UTC"


def _say(made: list[Path], as_json: bool, advice: str | None) -> None:
    if as_json:
        click.echo(json.dumps({"made": [str(path) for path in made]}))
        return
    for path in made:
        click.echo(f"made {path}{_until(path)}")
    if advice:
        click.echo(advice)
