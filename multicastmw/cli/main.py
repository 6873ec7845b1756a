"""`mcmw [--socket PATH | -c NODE.INI] COMMAND`: finds the command, and says in one line what went wrong.

A command is imported when it is called, so that `mcmw --help` and shell completion are quick and a command
pays only for what it shows.  It is a click command that gets a `Target` as the context's object and raises
`Failure`, or `BadConfig`, for what the user has to be told.

With --json anywhere behind `mcmw`, stdout is one JSON document and stderr is empty: an error is
{"error": "..."}, with the same exit code as the line on stderr would have.  What can be wrong with stdout
itself is seen to here, for all of them: see output.py.
"""

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module

import click

from multicastmw import __version__
from multicastmw.cli import output

# name: where it is, and what --help says of it without importing it.
COMMANDS = {
    "check": ("multicastmw.cli.check:check", "Read a configuration and say what it means."),
    "show": ("multicastmw.cli.show:show", "Show what a running node does."),
    "sessions": ("multicastmw.cli.sessions:sessions", "Write the sessions that are announced, for players."),
    "doctor": ("multicastmw.cli.doctor.command:doctor", "Find what keeps multicast from working here."),
    "health": ("multicastmw.cli.health:health", "Say whether the node is well, for a healthcheck."),
    "bugreport": ("multicastmw.cli.bugreport:bugreport", "Write what is needed to find a fault into a file."),
    "send": ("multicastmw.cli.traffic:send", "Send a test stream to a group."),
    "recv": ("multicastmw.cli.traffic:recv", "Receive a group, and measure what came."),
    "ping": ("multicastmw.cli.ping:ping", "Ask all nodes who receives a group."),
    "matrix": ("multicastmw.cli.matrix:matrix", "Loss and delay between all nodes."),
    "trace": ("multicastmw.cli.trace:trace", "The way of a group through the tree, hop by hop."),
    "capture": ("multicastmw.cli.capture:capture", "Write what passes a node, for Wireshark."),
    "reload": ("multicastmw.cli.reload:reload", "Have a running node read its configuration again."),
    "fastpath": ("multicastmw.cli.fastpath:fastpath", "Have the kernel forward, or not."),
    "peer": ("multicastmw.cli.steer:peer", "Have a running node dial a peer, or no longer."),
    "group": ("multicastmw.cli.steer:group", "Have a running node want a group, or no longer."),
    "log": ("multicastmw.cli.log:log", "Have a running node write more into its log, or less."),
    "web": ("multicastmw.cli.web:web", "Print the URL of a running node's web page."),
    "setup": ("multicastmw.cli.setup:setup", "Make the node.ini and the keys of several nodes."),
    "keys": ("multicastmw.cli.keys:keys", "Make the keys of nodes that talk over TLS."),
    "tap": ("multicastmw.cli.tap:tap", "Look after the TAP device."),
    "demo": ("multicastmw.cli.demo:demo", "Send a video through nodes on this machine."),
}
INTERRUPTED = 130  # exit code of what Ctrl-C ended, as shells have it

EVERY_CODE = {
    0: "it is done",
    1: "it is not, and one line on stderr says why",
    2: "the command line or node.ini is wrong, and the line says where",
    INTERRUPTED: "Ctrl-C ended it",
    output.READER_GONE: "whoever read its output has gone, as head does",
}


def exit_codes(codes: dict[int, str]) -> str:
    """The end of a command's --help: what these mean here, and those that all commands have."""
    lines = [f"  {code:<5}{means}" for code, means in sorted({**EVERY_CODE, **codes}.items())]
    return "\n".join(("\b", "Exit codes:", *lines))


@dataclass(frozen=True)
class Target:
    """Which node a command is for; both None: the only one under /run/mcmw."""

    socket: str | None = None
    config: str | None = None


class Failure(click.ClickException):
    """What a user has to be told, in one line."""

    exit_code = 1


class BadConfig(Failure):
    """Why a configuration is none."""

    exit_code = 2


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    epilog=exit_codes(
        {
            3: "this machine lacks what the command needs (demo)",
            4: "the node was asked and does not answer (reload)",
            5: "something does not work (doctor, matrix)",
        }
    ),
)
@click.option("--socket", metavar="PATH", help="The control socket of the node that is meant.")
@click.option("-c", "--config", metavar="NODE.INI", help="The configuration of the node that is meant.")
@click.version_option(__version__, message="mcmw %(version)s")
@click.pass_context
def mcmw(ctx: click.Context, socket: str | None, config: str | None) -> None:
    """IP multicast for every program, over an overlay of unicast links.

    Without --socket or -c, commands mean the only node that runs on this host.  A node is started with
    `twistd mcmw -c NODE.INI`.
    """
    if socket is not None and config is not None:
        raise click.UsageError("--socket and -c both say which node is meant; give one")
    ctx.obj = Target(socket, config)
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(2)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command and leaves with its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        with output.guarded():
            code = _run(arguments)
    except output.Lost as lost:
        code = lost.exit_code
        if not lost.reader_is_gone:
            _complain(f"mcmw: {lost}")
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    try:
        code = mcmw.main(arguments, prog_name="mcmw", standalone_mode=False)
    except click.Abort:
        return INTERRUPTED
    except click.ClickException as error:
        _tell(error, as_json="--json" in arguments)
        return error.exit_code
    return code if isinstance(code, int) else 0


def _tell(error: click.ClickException, as_json: bool) -> None:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):  # `mcmw keys`: its text is the help
        if not as_json:
            _complain(error.format_message())
            return
        error = click.UsageError("which of its commands?", error.ctx)
    line = " ".join(error.format_message().split())
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "mcmw"
        line = f"{command}: {line} (see {command} --help)"
    if as_json:
        click.echo(json.dumps({"error": line}))
    else:
        _complain(line)


def _complain(text: str) -> None:
    """On stderr; where that cannot be written, the exit code has to do."""
    with suppress(OSError):
        click.echo(text, err=True)


if __name__ == "__main__":
    main()
