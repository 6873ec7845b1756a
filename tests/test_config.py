"""node.ini: what it may say, what it means, and the one line for what it may not say."""

import os
import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from tempfile import mkstemp

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw import endpoints
from multicastmw.config import SESSION_TEXTS, Config, ConfigError, guess_socket, load
from multicastmw.core.addressing import Channel
from multicastmw.literals import MAX_MTU
from multicastmw.sections import (
    NAMED,
    SECTIONS,
    FastpathConfig,
    ListenConfig,
    LogConfig,
    NodeConfig,
    PeerConfig,
    SessionConfig,
    TlsConfig,
    options,
)
from tests.mistakes import MISTAKES

ETC = Path(__file__).parent.parent / "etc"
EVERYTHING = r"""
[node]
name = here
[tap]
device = tap7
address = 10.88.0.7/24
mtu = 1500
groups = 239.0.0.0/8, 232.0.0.0/8
    225.1.1.1
persist = no
reassemble = yes
ttl-floor = 16
[igmp]
version = 2
query-interval = 125
robustness = 7
querier-address = 10.88.0.9
[groups]
allow = 239.0.0.0/8
deny = 239.1.0.0/16 239.2.0.0/16
pin = 239.3.3.3, 10.88.0.8@239.4.4.4
[listen]
endpoint = tcp6:4601:interface=\:\:1
udp-port = 4602
keepalive-timeout = 3600
[peer:b]
endpoint = tcp:b.example.net:4600
[peer:c]
endpoint = tcp:host=fd00\:\:1:port=4600
[overlay]
engine = mesh
seeds = tcp:s.example.net:4600 tcp:t.example.net:4600
uplink = 20000
role = relay
max-children = 4
feeds = 2
feeds-groups = 239.5.5.5, 239.6.0.0/16
rotate = 30
[fastpath]
mode = off
[recovery]
deadline = 0.25
hold = 0.25
fec = on
[qos]
dscp = 34
[tls]
certificate =
private-key =
authorities =
udp-in-clear = no
[session:X]
name = Channel #1; news
group = 239.5.5.5
port = 5004
description = 100% multicast
[control]
socket = /tmp/here.sock
[web]
endpoint = tcp:8080:interface=127.0.0.1
[manhole]
endpoint = unix:/tmp/manhole
[log]
level = debug
format = json
"""
A_NODE = "[node]\nname = a\n[tap]\naddress = 10.88.0.1/24\n"


class ConfigCase(SynchronousTestCase):
    def written(self, text: str | bytes) -> str:
        # Not mktemp(): under pytest that litters the folder one stands in.
        number, path = mkstemp(suffix=".ini")
        self.addCleanup(os.unlink, path)
        with open(number, "wb") as file:
            file.write(text.encode() if isinstance(text, str) else text)
        return path

    def read(self, text: str | bytes, hostname: str = "host") -> Config:
        return load(self.written(text), hostname)

    def mistake(self, text: str | bytes, hostname: str = "host") -> str:
        """What is said about a text, without the file's name."""
        path = self.written(text)
        return self.refused(path, hostname).removeprefix(f"{path}: ")

    def refused(self, path: str, hostname: str = "host") -> str:
        line = str(self.assertRaises(ConfigError, load, path, hostname))
        self.assertEqual(len(line.splitlines()), 1, line)
        self.assertTrue(line.startswith(path), line)
        return line


class ValueTests(ConfigCase):
    def test_an_empty_file_is_a_node_with_every_default(self) -> None:
        config = self.read("")
        self.assertEqual(config.node, NodeConfig("host"))
        self.assertEqual(config.tap.device, "mcmw0")
        self.assertEqual(config.tap.address, IPv4Interface("10.88.0.2/24"))
        self.assertEqual((config.tap.mtu, config.tap.ttl_floor), (None, 0))
        self.assertEqual(config.tap.groups, (IPv4Network("224.0.0.0/4"),))
        self.assertEqual((config.tap.persist, config.tap.reassemble), (True, False))
        self.assertEqual(
            (config.igmp.version, config.igmp.query_interval, config.igmp.robustness), (3, 10, 2)
        )
        self.assertIsNone(config.igmp.querier_address)
        self.assertEqual(config.groups.deny, (IPv4Network("239.255.255.250/32"),))
        self.assertEqual((config.groups.allow, config.groups.pin, config.peers), ((), (), ()))
        self.assertEqual(config.listen, ListenConfig("tcp:4600", 4600, 10))
        self.assertEqual(config.fastpath, FastpathConfig("auto"))
        self.assertEqual((config.recovery.deadline, config.recovery.fec), (1.0, "off"))
        self.assertEqual((config.qos.dscp, config.tls, config.sessions), (None, None, ()))
        self.assertEqual(config.control.socket, "/run/mcmw/host.sock")
        self.assertEqual((config.web.endpoint, config.manhole.endpoint), (None, None))
        self.assertEqual(config.log, LogConfig("info", "text"))

    def test_every_section_and_option_of_the_design_is_accepted(self) -> None:
        config = self.read(EVERYTHING)
        self.assertEqual(config.tap.groups[2], IPv4Network("225.1.1.1/32"))
        self.assertEqual((config.tap.mtu, config.tap.persist, config.tap.reassemble), (1500, False, True))
        self.assertEqual(config.igmp.querier_address, IPv4Address("10.88.0.9"))
        any_source = Channel(int(IPv4Address("239.3.3.3")))
        one_source = Channel(int(IPv4Address("239.4.4.4")), int(IPv4Address("10.88.0.8")))
        self.assertEqual(config.groups.pin, (any_source, one_source))
        b = PeerConfig("b", "tcp:b.example.net:4600")
        c = PeerConfig("c", r"tcp:host=fd00\:\:1:port=4600")
        self.assertEqual(config.peers, (b, c))
        self.assertEqual(config.overlay.seeds, ("tcp:s.example.net:4600", "tcp:t.example.net:4600"))
        session = SessionConfig("X", IPv4Address("239.5.5.5"), 5004, "Channel #1; news", "100% multicast")
        self.assertEqual(config.sessions, (session,))
        self.assertEqual(config.control.socket, "/tmp/here.sock")

    def test_what_may_be_empty_is_off_when_it_is(self) -> None:
        tap_and_groups = "[tap]\naddress =\ngroups =\n[groups]\ndeny =\n"
        config = self.read(tap_and_groups + "[listen]\nendpoint =\nudp-port =\n[control]\nsocket =\n")
        self.assertEqual((config.tap.address, config.tap.groups), (None, ()))
        self.assertEqual((config.listen.endpoint, config.listen.udp_port), (None, None))
        self.assertEqual((config.groups.deny, config.control.socket), ((), None))

    def test_a_session_without_a_title_is_called_as_its_section(self) -> None:
        config = self.read("[session:news]\ngroup = 239.1.1.1\nport = 5004\n")
        self.assertEqual(config.sessions[0].name, "news")

    def test_a_session_that_the_lists_keep_out_gets_a_warning(self) -> None:
        session = "[session:X]\ngroup = 239.1.1.1\nport = 5004\n"
        self.assertEqual(self.read(A_NODE + session).warnings, ())
        for deny, said in (("239.1.0.0/16", "239.1.1.1"), ("224.2.127.254/32", "224.2.127.254")):
            self.assertEqual(
                self.read(f"{A_NODE}{session}[groups]\ndeny = {deny}\n").warnings,
                (f"[session:X]: is not announced: [groups] keeps {said} out",),
            )

    def test_sessions_are_as_long_and_as_many_as_other_nodes_keep(self) -> None:
        head = "group = 239.1.1.1\nport = 5004\n"
        for option, most in SESSION_TEXTS.items():
            text = f"[session:X]\n{head}{option} = "
            self.assertEqual(len(getattr(self.read(text + "x" * most).sessions[0], option)), most)
            self.assertEqual(
                self.mistake(text + "\u00e4" * most),
                f"[session:X] {option}: has {2 * most} bytes, and more than {most} are not announced",
            )
        many = "".join(f"[session:{n}]\n{head}" for n in range(257))
        self.assertIn("[session:256] group: more than 256 sessions", self.mistake(many))

    def test_what_stands_behind_an_empty_line_continues_nothing(self) -> None:
        self.assertEqual(self.read("[tap]\ngroups = 239.0.0.0/8\n\n  mtu = 1500\n").tap.mtu, 1500)

    def test_a_subnet_of_two_has_no_address_that_is_not_a_hosts(self) -> None:
        self.assertEqual(
            self.read("[tap]\naddress = 10.88.0.0/31\n").tap.address, IPv4Interface("10.88.0.0/31")
        )

    def test_a_byte_order_mark_and_dos_line_ends_are_nothing(self) -> None:
        self.assertEqual(self.read(b"\xef\xbb\xbf[node]\r\nname = a\r\n").node.name, "a")

    def test_the_largest_packet_fits_a_datagram_with_its_padding(self) -> None:
        config = self.read(f"[tap]\nmtu = {MAX_MTU}\n")
        message = 60 + -(-MAX_MTU // 4) * 4
        self.assertLessEqual(message + 28, 65_535)
        self.assertEqual(config.tap.mtu, 65_444)

    def test_tls_is_three_files_or_nothing(self) -> None:
        files = "[tls]\ncertificate = /etc/a.pem\nprivate-key = /etc/a.key\nauthorities = /etc/ca.pem\n"
        config = self.read(A_NODE + files)
        self.assertEqual(config.tls, TlsConfig("/etc/a.pem", "/etc/a.key", "/etc/ca.pem", False))
        self.assertEqual(config.warnings, ())
        self.assertTrue(self.read(files + "udp-in-clear = yes\n").tls.udp_in_clear)
        for nothing in ("[tls]\n", "[tls]\ncertificate =\nudp-in-clear = no\n"):
            self.assertIsNone(self.read(nothing).tls)

    def test_values_do_not_change(self) -> None:
        config = self.read("")
        with self.assertRaises(AttributeError):
            config.tap.device = "other"  # type: ignore[misc]


class WarningTests(ConfigCase):
    def test_what_is_not_built_gets_a_line_each(self) -> None:
        *warnings, of_loopback = self.read(EVERYTHING).warnings
        self.assertIn("[overlay] role = relay: nobody else can dial this node at ", of_loopback)
        places = "[qos] dscp, [session:X]"
        self.assertEqual(
            [re.split(r" =|: ", warning)[0] for warning in warnings],
            [place.strip() for place in places.split(",")],
        )
        self.assertEqual([line for line in warnings if len(line.splitlines()) != 1], [])

    def test_what_asks_for_nothing_missing_gets_none(self) -> None:
        quiet = "[fastpath]\nmode = off\n[recovery]\ndeadline = 0\n[overlay]\nengine = static\n"
        self.assertEqual(self.read(A_NODE + quiet).warnings, ())

    def test_an_uplink_is_heeded_on_static_links_too(self) -> None:
        self.assertEqual(self.read(A_NODE + "[overlay]\nuplink = 5000\n").warnings, ())

    def test_what_a_mesh_cannot_mean_gets_a_line_each(self) -> None:
        mesh = "[overlay]\nengine = mesh\n"
        seeds, nowhere = "seeds = tcp:b:4600\n", "[listen]\nendpoint =\n"
        for text, line in (
            ("[overlay]\nseeds = tcp:b:4600\nrole = relay\n",
             "[overlay] seeds, role: ignored, as engine is static, and meant for engine = mesh"),
            ("[overlay]\nfeeds = 2\nrotate = 10\n",
             "[overlay] feeds, rotate: ignored, as engine is static, and meant for engine = mesh"),
            (mesh, "[overlay] seeds: empty, so this node finds nobody until another one names it as a seed"),
            (mesh + nowhere,
             "[overlay] seeds: empty, as [listen] endpoint is: this node finds nobody, and nobody finds it"),
            (mesh + seeds + "role = relay\n" + nowhere,
             "[overlay] role = relay: nobody can dial this node, as [listen] endpoint is empty"),
            (mesh + "role = relay\n[listen]\nendpoint = tcp:4600:interface=127.0.0.1\n",
             "[overlay] role = relay: nobody else can dial this node at 127.0.0.1: [listen] endpoint"),
            (mesh + "role = relay\nuplink = 0\n",
             "[overlay] role = relay: with uplink = 0 it carries nothing for anybody"),
            (mesh + "role = relay\nmax-children = 0\n",
             "[overlay] role = relay: with max-children = 0 it carries nothing for anybody"),
            (mesh + seeds + "feeds-groups = 239.1.1.1\n",
             "[overlay] feeds-groups: says nothing without feeds = 2"),
            ("groups = 239.0.0.0/8\n" + mesh + seeds + "feeds = 2\nfeeds-groups = 232.1.0.0/16\n",
             "[overlay] feeds-groups: 232.1.0.0/16 is no group that programs here can have: [tap] groups"),
            (mesh + seeds + "feeds = 2\nfeeds-groups = 239.255.255.250, 239.255.0.0/16\n",
             "[overlay] feeds-groups: 239.255.255.250/32 is kept out by [groups] allow and deny"),
            (mesh + seeds + "feeds = 2\nfeeds-groups = 239.1.1.1, 239.0.0.0/8, 239.2.2.0/25\n"
             "[groups]\nallow = 239.2.2.0/24\n",
             "[overlay] feeds-groups: 239.1.1.1/32 is kept out by [groups] allow and deny"),
            (mesh + seeds + "feeds = 2\nfeeds-groups = 239.1.2.0/24\n[groups]\ndeny = 239.1.0.0/16\n",
             "[overlay] feeds-groups: 239.1.2.0/24 is kept out by [groups] allow and deny"),
            (mesh + seeds + "uplink = 20\n",
             "[overlay] uplink = 20: kbit/s are meant, and few streams need so little"),
            (mesh + "seeds = tcp:239.1.1.1:4600\n",
             "[overlay] seeds: tcp:239.1.1.1:4600:"
             " a group's address, and no node's; lan: asks the LAN by multicast"),
            (mesh + "seeds = tcp:10.88.0.9:4600\n",
             "[overlay] seeds: tcp:10.88.0.9:4600:"
             " it is in the network of the TAP (10.88.0.0/24), which only links lead to"),
            (mesh + "seeds = lan:mcmw0\n", "[overlay] seeds: lan:mcmw0: the TAP is no LAN where others are"),
            (mesh + "seeds = tcp:b:4600, lan:, tcp:b:4600\n",
             "[overlay] seeds: tcp:b:4600 is there 2 times"),
            ("[recovery]\nhold = 2\n",
             "[recovery] hold = 2: nothing is asked for again after deadline = 1,"
             " so the rest is waited in vain"),
        ):  # fmt: skip
            self.assertEqual(self.read(A_NODE + text).warnings, (line,), text)

    def test_a_mesh_that_can_be_meant_gets_none(self) -> None:
        mesh = "[overlay]\nengine = mesh\n"
        for text in (
            mesh + "role = relay\n",
            mesh + "seeds = lan:, srv:example.net\nuplink = 0\n[listen]\nendpoint =\n",
            mesh + "[peer:b]\nendpoint = tcp:b:4600\n[listen]\nendpoint =\n",
            mesh + "seeds = tcp:host=fd00\\:\\:1:port=4600\nuplink = 64\n",
            mesh + "role = relay\nfeeds = 2\nfeeds-groups = 239.1.0.0/16\n[groups]\ndeny = 239.1.0.0/24\n",
            "[recovery]\ndeadline = 0\n",
        ):
            self.assertEqual(self.read(A_NODE + text).warnings, (), text)

    def test_a_default_that_every_node_would_share_is_pointed_at(self) -> None:
        address, name = self.read("", hostname="localhost").warnings
        self.assertIn("[tap] address: not given, so 10.88.0.2/24", address)
        self.assertIn("[node] name: not given", name)


class MistakeTests(ConfigCase):
    maxDiff = None

    def test_each_mistake_ends_in_one_line_that_names_section_and_option(self) -> None:
        said = [(text, self.mistake(text)) for text, _ in MISTAKES]
        self.assertEqual([pair for pair in said if pair not in MISTAKES], [])

    def test_a_name_that_leaves_no_room_for_the_socket_says_so(self) -> None:
        line = self.mistake(f"[node]\nname = {'n' * 255}\n")
        self.assertTrue(line.startswith("[control] socket: none given, and the name is too long"), line)
        config = self.read(f"[node]\nname = {'n' * 255}\n[control]\nsocket = /run/n.sock\n")
        self.assertEqual(config.control.socket, "/run/n.sock")

    def test_a_host_name_that_is_no_node_name_is_not_taken(self) -> None:
        self.assertTrue(self.mistake("", hostname="").startswith("[node] name: none given"))

    def test_a_file_that_is_not_there_is_one_line(self) -> None:
        self.assertEqual(
            self.refused("/nowhere/node.ini"), "/nowhere/node.ini: cannot be read: No such file or directory"
        )

    def test_a_directory_is_one_line(self) -> None:
        self.assertEqual(self.refused("/"), "/: cannot be read: Is a directory")

    def test_a_file_in_another_encoding_is_one_line(self) -> None:
        self.assertEqual(self.mistake("[node]\nname = é\n".encode("latin-1")), "is not text in UTF-8")

    def test_a_file_without_end_is_one_line(self) -> None:
        self.assertEqual(self.refused("/dev/zero"), "/dev/zero: is longer than 1,048,576 characters")

    def test_a_file_that_may_not_be_read_is_one_line(self) -> None:
        path = self.written("")
        os.chmod(path, 0)
        if os.geteuid() == 0:  # who may read everything
            self.addCleanup(os.seteuid, 0)
            os.seteuid(65_534)
        self.assertEqual(self.refused(path), f"{path}: cannot be read: Permission denied")

    def test_names_that_no_file_can_have_are_one_line(self) -> None:
        self.assertEqual(
            str(self.assertRaises(ConfigError, load, "a\0b", "h")), "a?b: is not the name of a file"
        )
        self.assertEqual(
            str(self.assertRaises(ConfigError, load, "", "h")),
            "'': cannot be read: No such file or directory",
        )

    def test_a_line_stays_a_line_whatever_is_quoted_in_it(self) -> None:
        for nasty in ("\u2028", "\x85", "\x1b[31m", "x" * 100_000, "\u202e"):
            for text in (f"[{nasty}]", f"[tap]\n{nasty} = 1", f"[tap]\nmtu = 1{nasty}2", nasty):
                line = self.mistake(text)
                self.assertTrue(line.isprintable() and len(line) <= 500, line)


class EndpointTests(ConfigCase):
    def test_no_error_repeats_a_secret(self) -> None:
        secret = "correct-horse-battery"
        for text in (
            f"[web]\ntoken =\n    {secret}\n",
            f"[web]\ntoken {secret}\n",
            f"token {secret}\n",
            f"[web]\ntoken = {secret} # mine\n",
            f"[web]\ntoken = {secret} x\n",
        ):
            self.assertNotIn(secret, self.mistake(text), text)

    def test_two_that_want_one_port_are_told_from_two_that_do_not(self) -> None:
        for one, other, same in (
            ("tcp:4600", "tcp:4600:interface=127.0.0.1", True),
            ("tcp:4600", "tcp6:port=4600", True),
            ("tcp:4600", "tcp:4700", False),
            ("tcp:0", "tcp:0:interface=127.0.0.1", False),
            ("tcp:4600", "unix:/x", False),
            ("unix:/x", "unix:/x", False),
        ):
            self.assertEqual(endpoints.is_same_port(one, other), same, (one, other))

    def test_the_usual_ways_to_listen_are_accepted(self) -> None:
        plain = ["tcp:4600", "tcp:port=4600:interface=127.0.0.1", "tcp6:4600", "tcp:0", "unix:/tmp/x"]
        for endpoint in [*plain, "haproxy:tcp:4600", r"tcp:4600:interface=fd00\:\:1"]:
            self.assertEqual(self.read(f"[listen]\nendpoint = {endpoint}\n").listen.endpoint, endpoint)

    def test_the_usual_ways_to_dial_are_accepted(self) -> None:
        plain = [
            "tcp:b:4600",
            "tcp:host=b:port=4600",
            "tcp:host=b:4600",
            "tcp:b:4600:timeout=3",
            "unix:/tmp/x",
        ]
        for endpoint in [
            *plain,
            "tls:b:4600",
            "tcp:bücher.example:4600",
            r"tcp:host=fe80\:\:1%eth0:port=4600",
        ]:
            self.assertEqual(self.read(f"[peer:b]\nendpoint = {endpoint}\n").peers[0].endpoint, endpoint)

    def test_a_seed_has_a_name_that_can_be_looked_up_or_an_address(self) -> None:
        for seed in ("tcp:ex_a:4600", "tcp:-x.example.net:4600"):
            error = self.assertRaises(ValueError, endpoints.seeds, seed)
            self.assertIn("a seed's name has letters, digits, hyphens and dots", str(error))
        good = (
            "tcp:bücher.example:4600",
            r"tcp:host=fe80\:\:1%eth0:port=4600",
            "unix:/tmp/x",
            "lan:",
            "srv:a_b",
        )
        self.assertEqual(endpoints.seeds(" ".join(good)), good)

    def test_an_error_repeats_no_more_of_a_long_endpoint_than_shows_which_it_is(self) -> None:
        for parse in (endpoints.server, endpoints.client):
            error = self.assertRaises(ValueError, parse, "a" * 100_000)
            self.assertLess(len(str(error)), 300)

    def test_the_manhole_is_for_this_host_alone(self) -> None:
        for endpoint in (
            "unix:/tmp/x",
            "unix:/tmp/x:mode=660",
            "tcp:22:interface=127.0.0.1",
            "tcp:22:127.1.2.3",
            r"tcp6:22:interface=\:\:ffff\:127.0.0.1",
            r"tcp6:22:interface=\:\:1",
            "tcp:22:localhost",
        ):
            self.assertEqual(self.read(f"[manhole]\nendpoint = {endpoint}\n").manhole.endpoint, endpoint)
        for endpoint in (
            "tcp6:22",
            "tcp:22:interface=0.0.0.0",
            "tcp:22:interface=10.0.0.1",
            "tcp:22",
            r"tcp6:22:interface=\:\:",
            r"tcp6:22:interface=\:\:ffff\:10.0.0.1",
            "tcp:22:interface=127.0.0.1:interface=0.0.0.0",
            "tcp:22:interface=",
            "haproxy:tcp:22",
            "haproxy:tcp:22:interface=127.0.0.1",
            "ssl:22:interface=127.0.0.1",
            "systemd:domain=INET:index=0",
            "unix:/tmp/x:mode=666",
            "unix:/tmp/x:mode=77777",
        ):
            self.assertIn("is open to ", self.mistake(f"[manhole]\nendpoint = {endpoint}\n"))


class ManualTests(ConfigCase):
    """etc/node.ini is what users read."""

    def setUp(self) -> None:
        self.text = (ETC / "node.ini").read_text()

    def block(self, title: str) -> str:
        """What stands between a section's header, commented out or not, and the next one."""
        return re.split(r"(?m)^#?\[", re.split(rf"(?m)^#?\[{title}\b", self.text)[1])[0]

    def test_every_option_is_there_with_its_default_and_its_help(self) -> None:
        for title, kind in (SECTIONS | NAMED).items():
            block = self.block(title)
            prose = " ".join(re.sub(r"(?m)^# ", "", block).split())
            for name, _, about in options(kind):
                default = ".+" if about.default is None else re.escape(about.default)
                self.assertRegex(block, rf"(?m)^#{name} ={default and ' ' + default}$")
                self.assertIn(about.help, prose)

    def test_there_is_no_other_option_in_it(self) -> None:
        names = {name for kind in (SECTIONS | NAMED).values() for name, _, _ in options(kind)}
        self.assertEqual(set(re.findall(r"(?m)^#([a-z-]+) =", self.text)) - names, set())

    def test_as_it_comes_it_changes_nothing(self) -> None:
        self.assertEqual(load(str(ETC / "node.ini"), "host"), self.read(""))

    def test_that_of_a_gateway_leaves_a_bridges_port_alone(self) -> None:
        config = load(str(ETC / "gateway.ini"), "host")
        tap = config.tap
        self.assertEqual((tap.address, tap.groups, tap.mtu, tap.persist), (None, (), 1500, True))
        self.assertEqual(config.igmp.querier_address, IPv4Address("192.168.1.250"))
        self.assertEqual(config.warnings, ())

    def test_with_every_sign_taken_away_it_still_means_the_same(self) -> None:
        config = self.read(re.sub(r"(?m)^#(?=\[|[a-z-]+ =)", "", self.text), "host")
        self.assertEqual((len(config.peers), len(config.sessions)), (1, 1))
        self.assertEqual(
            replace(config, peers=(), sessions=(), warnings=()), replace(self.read(""), warnings=())
        )

    def test_the_laboratory_is_the_tree_of_figure_4(self) -> None:
        lab = {name: load(str(ETC / "lab" / f"{name}.ini"), "host") for name in "abcd"}
        self.assertEqual(
            {name: config.node.name for name, config in lab.items()}, {name: name for name in "abcd"}
        )
        to_b = (PeerConfig("b", "tcp:10.99.2.2:4600"),)
        self.assertEqual([lab[name].peers for name in "abcd"], [to_b, (), to_b, to_b])
        self.assertEqual(
            [str(lab[name].tap.address) for name in "abcd"], [f"10.88.0.{n}/24" for n in (1, 2, 3, 4)]
        )
        self.assertEqual([config.warnings for config in lab.values()], [()] * 4)


TITLES = st.sampled_from([*SECTIONS, "peer:b", "session:x"]) | st.text(max_size=12)
NAMES = st.sampled_from([name for kind in (SECTIONS | NAMED).values() for name, _, _ in options(kind)])
WORDS = st.sampled_from(
    ["auto", "yes", "0", "4600", "tcp:4600", "tcp:b:1", "unix:/x", "ssl:", "tls:x", "/", "#", ";", "[", "]",
     "=", "239.1.0.0/16", "10.88.0.3/24", "239.1.1.1", "10.0.0.1@239.1.1.1", "/tmp/x", "%(name)s", "::", ""]
)  # fmt: skip
VALUES = st.lists(WORDS | st.text(max_size=12), max_size=3).map(" ".join)
LINES = (
    TITLES.map(lambda title: f"[{title}]")
    | st.builds("{} = {}".format, NAMES | st.text(max_size=8), VALUES)
    | st.builds("  {}".format, VALUES)
    | st.text(max_size=20)
)
TEXTS = st.lists(LINES, max_size=12).map("\n".join) | st.text()


class AnyTextTests(ConfigCase):
    def outcome(self, content: bytes, hostname: str) -> str:
        try:
            config = load(self.written(content), hostname)
        except ConfigError as error:
            lines = [str(error)]
        else:
            lines = list(config.warnings)
        for line in lines:
            self.assertEqual(len(line.splitlines()), 1, line)
            self.assertTrue(line.isprintable(), line)
        return " ".join(lines)

    @settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
    @given(TEXTS, st.text(max_size=8))
    def test_any_text_is_a_configuration_or_one_line(self, text: str, hostname: str) -> None:
        self.outcome(text.encode("utf-8", "surrogatepass"), hostname)

    @settings(deadline=None)
    @given(st.binary())
    def test_any_bytes_are_a_configuration_or_one_line(self, content: bytes) -> None:
        self.outcome(content, "host")

    @settings(deadline=None, max_examples=200)
    @given(
        st.sampled_from([(title, name) for title, kind in SECTIONS.items() for name, _, _ in options(kind)]),
        VALUES,
    )
    def test_any_value_of_any_option_is_taken_or_one_line(self, where: tuple[str, str], value: str) -> None:
        title, name = where
        self.outcome(f"[{title}]\n{name} = {value}\n".encode("utf-8", "surrogatepass"), "host")


class Guesses(SynchronousTestCase):
    """Where the node of a file that is broken by now was told to listen."""

    def guess(self, text: str | bytes) -> str | None:
        path = Path(self.mktemp())
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        self.assertRaises(ConfigError, load, str(path), "host")
        return guess_socket(str(path), "host")

    def test_whatever_else_is_wrong_the_socket_is_found(self) -> None:
        right = "[node]\nname = a\n[control]\nsocket = /run/x/y.sock\n"
        for wrong in (
            "[tap]\nmtuu = 3\n",
            "nonsense\n",
            "[tap\n",
            "[node]\nname = b\n",
            "[node]\nname = \xff \x07\n",
        ):
            self.assertEqual(self.guess(right + wrong), "/run/x/y.sock")
            self.assertEqual(
                self.guess(wrong.replace("[node]\nname", "[tap]\nname") + right), "/run/x/y.sock"
            )
        self.assertEqual(self.guess(right.encode() + b"\xff\xfe"), "/run/x/y.sock")

    def test_else_it_is_the_one_that_a_node_of_this_name_has(self) -> None:
        self.assertEqual(self.guess("[node]\nname = a\n[tap]\nmtuu = 3\n"), "/run/mcmw/a.sock")
        self.assertEqual(self.guess("socket = /run/x\n[tap]\nmtuu = 3\n"), "/run/mcmw/host.sock")

    def test_what_cannot_be_one_is_none(self) -> None:
        self.assertIsNone(self.guess("[control]\nsocket = here\n"))
        self.assertIsNone(self.guess("[node]\nname = ../a\n"))
        for path in ("/nowhere/node.ini", "/", "\0"):
            self.assertIsNone(guess_socket(path, "host"))
