"""`mcmw demo`: the paper's experiment on this machine.

Four hosts, which are network namespaces, with an internet between them that carries no multicast; a node on
each; a sends a film of 1.4 Mbit/s, b receives it and passes it on to c and d, which receive it, too.  With
--mesh b is the border to a mesh of two hosts more.
The numbers go to stdout, everything else (report, pictures, recordings, logs) into a folder.
"""

import contextlib
import fcntl
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from multicastmw.cli import film as films
from multicastmw.cli import rootless
from multicastmw.cli.announcer import Silence, announcer
from multicastmw.cli.client import ControlError
from multicastmw.cli.lab import Lab, LabError, NotPossibleHere, TimedOut, take_down
from multicastmw.cli.lab.tools import find_tool
from multicastmw.cli.main import Failure, exit_codes
from multicastmw.cli.mpegts import NotTransportStream
from multicastmw.cli.overlay import DEVICE, FigureFour, FigureFourAndMesh
from multicastmw.cli.performance import GROUP, PORT, Network, Performance, examine
from multicastmw.cli.text import screen
from multicastmw.cli.verdict import Outcome

PREFIX = "mcmw-demo"
TUN = Path("/dev/net/tun")
OURS = re.compile(r"film\.ts|report\.json|[a-f](\.(ts|png|ini)|-(node|recorder|streamer)\.(log|out))")


class NotHere(Failure):
    """What this machine lacks."""

    exit_code = 3


class BadFolder(Failure):
    """Why nothing can be written where --out says."""

    exit_code = 2


CODES = {
    0: "all have every packet once and in order, every frame decodes",
    1: "they did not, or the demo could not go on, and one line says why",
    2: "the command line is wrong, or --out names what cannot be written to",
    NotHere.exit_code: "this machine lacks what the demo needs, and one line says what",
}


@click.command(epilog=exit_codes(CODES))
@click.option("--film", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="A film of your own; encoded as a Video CD, unless it is a transport stream.")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(min=0), default=20.0, show_default=True,
              help="How much of the film is sent; 0: all of --film.")  # fmt: skip
@click.option("--tcp", is_flag=True, help="Carry the film over TCP only.")
@click.option("--tls", is_flag=True, help="Carry it inside TLS, over TCP, with keys made by `mcmw keys`.")
@click.option("--mesh", is_flag=True, help="Join the tree to a mesh of two more hosts, e and f.")
@click.option("--keep", is_flag=True, help="Leave the hosts up, with the film in a loop.")
@click.option("--down", is_flag=True, help="Take down the hosts that --keep left up.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default="mcmw-demo",
              show_default=True, help="Where report, pictures, recordings and logs go.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The report on stdout, and nothing else.")
@click.pass_context
def demo(ctx: click.Context, /, *, film: Path | None, seconds: float, tcp: bool, tls: bool, mesh: bool,
         keep: bool, down: bool, out: Path, as_json: bool) -> None:  # fmt: skip
    """Send a film from one host to three, or to five, all on this machine.

    Host a sends; b receives and replicates to c and d.  With --mesh b is a border, too: e and f are told its
    address and find the rest by themselves.  It needs /dev/net/tun, iproute2, ffmpeg, and root or
    namespaces of one's own.
    """
    if not film and not seconds:
        raise click.UsageError("--seconds 0 means all of a film; give one with --film")
    try:
        if not down:
            check_folder(out)
        if os.geteuid():
            _go_on_as_root(keep or down, as_json)
        check_machine(down)
        if down:
            _show_taken_down(take_down(PREFIX), as_json)
            return
        piece = Piece(film, seconds, out, keep)
        network = FigureFourAndMesh if mesh else FigureFour
        outcome, kept = perform(piece, network(udp=not tcp, tls=tls), announcer(as_json))
    except (NotPossibleHere, films.NoFfmpeg) as error:
        raise NotHere(str(error)) from error
    except (films.FilmError, NotTransportStream) as error:
        raise Failure(str(error)) from error
    except (LabError, TimedOut, ControlError) as error:
        raise Failure(f"{error} (logs are in {out})") from error
    except OSError as error:  # the disk is full, say
        raise Failure(f"{error.filename or out}: {error.strerror or error}") from error
    show(outcome, kept, out, as_json)
    ctx.exit(1 if outcome.problems() else 0)


def _go_on_as_root(lasts: bool, as_json: bool) -> None:
    """An ordinary user's demo; what outlives its command needs the machine's own namespaces."""
    if lasts:
        raise NotPossibleHere("hosts that stay up need root: sudo mcmw demo --keep, and --down")
    check_tools()
    rootless.become_root(sys.argv[1:], lambda line: None if as_json else click.echo(line, err=True))


def check_folder(out: Path) -> None:
    """Can it be made and written to?  Raises BadFolder; leaves everything as it was."""
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        raise BadFolder(f"--out {out}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            for folder in missing:
                folder.rmdir()


def check_machine(only_root: bool = False) -> None:
    """Raises NotPossibleHere or NoFfmpeg with what to do."""
    if os.geteuid():
        raise NotPossibleHere("network namespaces need root: sudo mcmw demo")
    if not only_root:
        check_tools()


def check_tools() -> None:
    """Raises NotPossibleHere or NoFfmpeg where the user lacks something."""
    find_tool("ip")
    try:
        os.close(os.open(TUN, os.O_RDWR | os.O_CLOEXEC))
    except PermissionError as error:
        raise NotPossibleHere(f"{TUN}: {error.strerror}: `chmod 666 {TUN}`, its usual mode") from error
    except OSError as error:
        raise NotPossibleHere(
            f"{TUN}: {error.strerror}: modprobe tun, or start the container with --device {TUN}"
        ) from error
    films.find_ffmpeg()


@dataclass(frozen=True)
class Kept:
    """Hosts that stay up: their namespaces and control sockets by name."""

    namespaces: dict[str, str]
    sockets: dict[str, str]


@dataclass(frozen=True)
class Piece:
    """What the user asks to be played and where it shall go."""

    film: Path | None  # None: one of our own
    seconds: float
    out: Path
    keep: bool = False


def perform(piece: Piece, network: Network, audience: Silence) -> tuple[Outcome, Kept | None]:
    """Makes the film and the hosts, plays it, and writes the report into the folder."""
    with _folder(piece.out):
        target = piece.out / "film.ts"
        make_film(piece, target, audience)
        film = examine(target)
        with Lab(PREFIX, piece.out, network.hosts) as lab:
            many = f"{len(lab.hosts)} hosts are up"
            audience.line(f"{many}: namespaces {lab.name}-a to {lab.name}-{network.hosts[-1]}")
            performance = Performance(lab, network, film, audience)
            outcome = performance.run()
            (piece.out / "report.json").write_text(json.dumps(outcome.document(), indent=1) + "\n")
            kept = None
            if piece.keep:
                performance.start_streamer("--loop")
                lab.keep()
                kept = Kept({host.name: host.namespace for host in lab.hosts},
                            {host.name: str(host.socket) for host in lab.hosts})  # fmt: skip
        return outcome, kept


def make_film(piece: Piece, target: Path, audience: Silence) -> None:
    """The film as it will be sent."""
    source = piece.film.name if piece.film else "our own"
    frames = round(piece.seconds * films.FRAME_RATE)  # 0: as long as the film is
    with audience.bars(f"making the film: {source}, as a Video CD", {"frames": frames}) as tell:

        def progress(share: float) -> None:
            tell({"frames": round(share * frames)})

        if piece.film:
            films.take(piece.film, target, piece.seconds, progress)
        else:
            films.draw(target, piece.seconds, progress)


def show(outcome: Outcome, kept: Kept | None, out: Path, as_json: bool) -> None:
    """The result on stdout: one JSON document, or a table and where the rest is."""
    if as_json:
        document = {**outcome.document(), "out": str(out), "kept": asdict(kept) if kept else None}
        click.echo(json.dumps(document))
        return
    terminal = screen()
    terminal.print(outcome.table())
    terminal.print()
    problems = outcome.problems()
    if problems:
        click.echo(f"FAILED: {'; '.join(problems)}")
    else:
        click.echo("Every host received every packet once and in order, and every frame decodes.")
    pictures = [str(out / each.picture.name) for each in outcome.receivers if each.picture]
    click.echo(f"pictures: {' '.join(pictures)}")
    click.echo(f"report, recordings and logs: {out}")
    if kept:
        click.echo(invitation(kept))


def invitation(kept: Kept) -> str:
    """How to join the hosts that stay up."""
    user = os.environ.get("SUDO_USER") or "nobody"
    enter = f"ip netns exec {kept.namespaces['c']}"
    url = f"--miface={DEVICE} rtp://@{GROUP}:{PORT}"
    return "\n".join(
        (
            "",
            f"The hosts stay up, and a sends the film in a loop to {GROUP}:{PORT}.  As root:",
            "  watch it on c, on your screen:",
            f"    {enter} runuser -u {user} -- vlc {url}",
            "  or record what VLC receives there:",
            f"    {enter} runuser -u {user} -- cvlc {url} --sout file/ts:/tmp/c.ts",
            "  ask b's node, which replicates:",
            f"    mcmw --socket {kept.sockets['b']} show",
            "  a shell on d:",
            f"    ip netns exec {kept.namespaces['d']} bash",
            "  end it:",
            "    mcmw demo --down",
        )
    )


def give_to_caller(paths: Iterable[Path]) -> None:
    """Under sudo, what was made belongs to whoever called."""
    owner = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if os.geteuid() == 0 and all(part.isdigit() for part in owner):
        for path in paths:
            os.chown(path, int(owner[0]), int(owner[1]), follow_symlinks=False)


def made_by_us(out: Path) -> list[Path]:
    """The demo's files in a folder that may hold others."""
    return [path for path in out.iterdir() if OURS.fullmatch(path.name)]


def _show_taken_down(names: list[str], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"removed": names}))
    else:
        click.echo(f"removed {', '.join(names)}" if names else "no demo is up")


@contextlib.contextmanager
def _folder(out: Path) -> Iterator[None]:
    """Makes the folder and has it for this demo alone; what an earlier one left in it goes."""
    new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(out, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise NotPossibleHere(f"{out}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise NotPossibleHere(f"another demo writes to {out}: name another folder with --out") from error
        # Removed, not overwritten: the hosts that an earlier demo kept still read and write theirs.
        for path in made_by_us(out):
            path.unlink()
        try:
            yield
        finally:
            give_to_caller([*([out] if new else []), *made_by_us(out)])
    finally:
        os.close(descriptor)
