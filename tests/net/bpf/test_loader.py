"""The loader: object files, maps, hooks, and one line for each way in which it does not work."""

import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.fastpath import tables as values
from multicastmw.core.fastpath.tables import Cfg, Peer, Reason, RouteFlag, RouteKey, RouteValue
from multicastmw.net.bpf import kernel, loading, tables
from multicastmw.net.bpf.elf import MapShape, ObjectFile, _sections
from multicastmw.net.bpf.hooks import (
    CLSACT,
    EGRESS,
    INGRESS,
    PARENTS,
    attach,
    filter_name,
    remove_leftovers,
)
from multicastmw.net.bpf.kernel import NoFastPath
from multicastmw.net.bpf.loading import load, shipped_object
from multicastmw.net.bpf.maps import Map
from multicastmw.wire import data
from tests.net.bpf.bed import (
    GROUP,
    OUR_TOKEN,
    SOURCE,
    THEIRS,
    Bed,
    context,
    inner_packet,
    outer,
    why_no_bed,
)  # fmt: skip

ROOT = Path(__file__).parents[3]
SOURCES = ROOT / "multicastmw" / "ebpf"


def no_object() -> str | None:
    try:
        shipped_object()
    except NoFastPath as reason:
        return str(reason)
    return None


def header(name: str) -> str:
    return (SOURCES / name).read_text()


def message() -> bytes:
    return data.build(
        inner_packet(b"x" * 50),
        token=OUR_TOKEN,
        origin=THEIRS,
        group=GROUP,
        source=SOURCE,
        sequence=1,
        hop_limit=9,
    )


class Twins(SynchronousTestCase):
    """tables.py and fastpath.h say the same."""

    skip = no_object()

    def test_sizes_are_those_that_the_header_asserts(self) -> None:
        sizes = {
            name: int(size)
            for name, size in re.findall(r"sizeof\(struct (\w+)\) == (\d+)", header("fastpath.h"))
        }
        self.assertEqual(
            sizes,
            {
                "cfg": values.CFG.size, "peer": values.PEER.size, "link_key": values.LINK_KEY.size,
                "link": values.LINK.size, "route_key": values.ROUTE_KEY.size, "route": values.ROUTE.size,
                "gate": values.GATE.size, "window": values.WINDOW.size, "stat": values.PAIR.size,
                "route_stat": values.ROUTE_STAT.size, "kept": values.KEPT.size,
            },
        )  # fmt: skip

    def test_fields_are_where_the_compiler_puts_them(self) -> None:
        if not shutil.which("clang"):
            self.skipTest("needs clang")
        for name, packed, expected in (
            ("cfg", Cfg(1, 2, 3, 4, 5, 6, True, b"abcdef", 9).pack(), {
                "origin": b"\0" * 7 + b"\1", "lease": b"\2" + bytes(7), "realtime_offset": b"\3" + bytes(7),
                "tap": b"\4\0\0\0", "generation": b"\5\0\0\0", "data_port": b"\0\6", "enabled": b"\1",
                "ttl_floor": b"\x09", "mac": b"abcdef"}),
            ("peer", Peer(1, 2, 3, 4, 5, 6, 7, 8, b"tototo", b"frfrfr").pack(), {
                "token": bytes(7) + b"\1", "local": b"\0\0\0\2", "remote": b"\0\0\0\3",
                "local_port": b"\0\4", "remote_port": b"\0\5", "ifindex": b"\6\0\0\0",
                "gateway": b"\0\0\0\x08", "longest": b"\7\0", "flags": b"\5\0",
                "to": b"tototo", "from": b"frfrfr"}),
            ("link_key", values.LinkKey(1, 2, 3, 4).pack(), {
                "remote": b"\0\0\0\1", "local": b"\0\0\0\2", "remote_port": b"\0\3", "local_port": b"\0\4"}),
            ("link", values.LinkValue(1, 2).pack(), {"token": b"\0" * 7 + b"\1", "peer": b"\2\0\0\0"}),
            ("window", values.WINDOW.pack(1, *range(2, 8), 8, *range(31)), {
                "heard": b"\1" + bytes(7), "top": b"\2\0\0\0", "is_far": b"\7\0\0\0",
                "seen": b"\x08" + bytes(7)}),
            ("gate", values.GATE.pack(1, 2), {"left": b"\1\0\0\0", "seen": b"\2\0\0\0"}),
            ("route_key", RouteKey(1, 2, 3).pack(), {
                "group": b"\0" * 7 + b"\1", "source": b"\0" * 7 + b"\2", "origin": b"\0" * 7 + b"\3"}),
            ("route", RouteValue(1, 2, (9, 8), 4, 5, RouteFlag.WHOLE, values.Ring(256, 128)).pack(), {
                "generation": b"\1\0\0\0", "slot": b"\2\0\0\0", "count": b"\2\0", "link": b"\5\0",
                "longest": b"\4\0", "flags": b"\4\0", "ring": b"\0\1\0\0", "ring_mask": b"\x7f\0\0\0",
                "peers": b"\x09\x08"}),
            ("kept", values.KEPT.pack(60, b"message"), {"size": b"\x3c\0\0\0", "message": b"message"}),
        ):  # fmt: skip
            places = places_of([(name, field) for field in expected])
            for field, value in expected.items():
                at = places[name, field]
                self.assertEqual(value, packed[at : at + len(value)], f"{name}.{field}")

    def test_reasons_have_the_same_numbers(self) -> None:
        text = re.search(r"enum reason \{(.*?)\};", header("fastpath.h"), re.DOTALL)
        assert text
        names = re.findall(r"^\t(\w+),?$", text[1], re.MULTILINE)
        self.assertEqual(names, [*(reason.name for reason in Reason), "REASONS"])

    def test_constants_are_the_same(self) -> None:
        found = dict(re.findall(r"#define (\w+) (\w+)", header("fastpath.h")))
        for name in ("PEERS", "LINKS", "ROUTES", "FAN_OUT", "LINK_ANY", "LINK_TAP", "MARK", "REASONS_MAX",
                     "GOES_AHEAD", "OVERTAKES", "OVERTAKES_FEW", "GATE_OF_LINK", "COPIES_WAITING",
                     "WINDOW_SIZE", "WINDOW_WORDS", "KEPT_SIZE"):  # fmt: skip
            self.assertEqual(int(found.get(found[name], found[name]), 0), getattr(values, name), name)
        self.assertIn("#define GATE_OF_COPIES (ROUTES + PEERS)", header("fastpath.h"))
        self.assertEqual(values.ROUTES + values.PEERS, values.GATE_OF_COPIES)
        for flag in RouteFlag:
            self.assertEqual(int(found[f"ROUTE_{flag.name}"]), flag)
        for bit in values.PeerFlag:
            self.assertEqual(int(found[f"PEER_{bit.name}"]), bit)

    def test_an_object_of_another_release_is_refused(self) -> None:
        if why_no_bed():
            self.skipTest("needs root")
        loaded = load(shipped_object())
        self.addCleanup(loaded.close)
        loaded.maps["routes"].shape = loaded.maps["routes"].shape._replace(value_size=96)
        self.assertRaisesRegex(NoFastPath, "of another release", tables.Tables, loaded)


def places_of(fields: list[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Where these members of structures stand, in bytes, as the program's compiler says."""
    lines = ", ".join(f"__builtin_offsetof(struct {name}, {field})" for name, field in fields)
    source = f'#include "fastpath.h"\nunsigned found[] SEC("places") = {{ {lines} }};\n'
    made = tempfile.mkdtemp()
    try:
        (Path(made) / "places.c").write_text(source)
        command = ["clang", "-target", "bpf", f"-I{SOURCES}", "-c", "places.c", "-o", "places.o"]
        subprocess.run(command, check=True, cwd=made)
        sections = _sections((Path(made) / "places.o").read_bytes())
        (found,) = (section.data for section in sections if section.name == "places")
    finally:
        shutil.rmtree(made)
    return dict(zip(fields, struct.unpack(f"<{len(fields)}I", found), strict=True))


class Objects(SynchronousTestCase):
    skip = no_object()

    def test_the_object_has_two_programs_and_the_maps(self) -> None:
        found = ObjectFile(shipped_object())
        self.assertEqual({p.name for p in found.programs}, {"mcmw_tap_egress", "mcmw_up_ingress"})
        self.assertEqual(set(found.maps), set(tables.SIZES))
        self.assertEqual("Dual MIT/GPL", found.license)
        functions = {program.name: len(program.functions) for program in found.programs}
        expected = {"mcmw_tap_egress": 2, "mcmw_up_ingress": 4}  # the loop's body; the window, what is kept
        self.assertEqual(expected, functions)

    def test_it_names_no_folder_of_the_machine_that_made_it(self) -> None:
        self.assertNotIn(str(ROOT).encode(), shipped_object())

    @settings(max_examples=500, deadline=None)
    @given(st.integers(0, 1 << 20), st.binary(min_size=1, max_size=4), st.booleans())
    def test_a_damaged_object_is_one_line(self, at: int, wrong: bytes, cut: bool) -> None:
        whole = shipped_object()
        at %= len(whole)
        damaged = whole[:at] if cut else whole[:at] + wrong + whole[at + len(wrong) :]
        try:
            ObjectFile(damaged)
        except NoFastPath as reason:
            self.assertNotIn("\n", str(reason))

    def test_what_clang_makes_now_is_what_is_there(self) -> None:
        if not shutil.which("clang"):
            self.skipTest("needs clang")
        made = Path(self.mktemp())
        subprocess.run([sys.executable, SOURCES / "compile.py", made], check=True)
        self.assertEqual(
            ObjectFile(made.read_bytes()).programs,
            ObjectFile(shipped_object()).programs,
            "make the object again",
        )


class Refusals(SynchronousTestCase):
    """Each is one line that says what is wrong."""

    skip = no_object()

    def test_an_installation_without_the_object(self) -> None:
        with patch.object(loading, "OBJECT", "missing.bpf.o"):
            self.assertRaisesRegex(
                NoFastPath, "^this installation came without the kernel's program", shipped_object
            )

    def test_an_unknown_machine(self) -> None:
        with (
            patch.object(kernel.platform, "machine", lambda: "vax"),
            self.assertRaises(NoFastPath) as refused,
        ):
            load(shipped_object())
        self.assertIn("this kernel has no bpf(2)", str(refused.exception))

    def test_an_old_kernel(self) -> None:
        error = OSError(22, "Invalid argument")
        with patch.object(kernel, "missing_capabilities", list):
            line = str(kernel.refused("load it", error, "the verifier says: invalid func unknown#181"))
        self.assertRegex(line, r"^cannot load it: kernel \S+ is older than 5\.19$")

    def test_a_refused_program(self) -> None:
        if why_no_bed():
            self.skipTest("needs root")
        whole = shipped_object()
        (program, *_) = ObjectFile(whole).programs
        at = whole.index(program.code[:32])
        # its first instruction reads a register that nobody wrote
        broken = whole[:at] + b"\xbf\x70\0\0\0\0\0\0" + whole[at + 8 :]
        before = len(os.listdir("/proc/self/fd"))
        with self.assertRaises(NoFastPath) as refused:
            load(broken)
        self.assertEqual(
            "cannot load the program mcmw_tap_egress: the verifier says: R7 !read_ok", str(refused.exception)
        )
        self.assertEqual(before, len(os.listdir("/proc/self/fd")), "nothing stays open")

    def test_a_device_that_is_gone(self) -> None:
        if why_no_bed():
            self.skipTest("needs root")
        loaded = load(shipped_object())
        self.addCleanup(loaded.close)
        program = loaded.programs["mcmw_tap_egress"]
        self.assertRaisesRegex(NoFastPath, "the device is gone", attach, program, 0x7FFFFFF0, EGRESS, "x")


class Maps(SynchronousTestCase):
    skip = why_no_bed()

    def map(self, kind: int = 1, entries: int = 100) -> Map:
        made = Map("mine", MapShape(kind, 4, 8, entries, 0))
        self.addCleanup(made.close)
        return made

    @staticmethod
    def items(count: int) -> dict[bytes, bytes]:
        return {struct.pack("<I", n): struct.pack("<Q", n * n) for n in range(count)}

    def test_get_set_delete(self) -> None:
        table = self.map()
        self.assertEqual((None, False), (table.get(b"k" * 4), table.delete(b"k" * 4)))
        table.set(b"k" * 4, b"v" * 8)
        self.assertEqual((b"v" * 8, [b"k" * 4]), (table.get(b"k" * 4), table.keys()))
        self.assertEqual((True, None), (table.delete(b"k" * 4), table.get(b"k" * 4)))
        self.assertRaises(ValueError, table.get, b"short")
        self.assertRaises(ValueError, table.set, b"k" * 4, b"short")

    def test_many_at_once(self) -> None:
        table = self.map()
        table.set_all(self.items(100))
        self.assertEqual(sorted(self.items(100)), sorted(table.keys()))
        table.set_all({})
        table.delete_all(self.items(60))
        self.assertEqual(40, len(table.keys()))
        array = self.map(kind=2)
        array.set_all(self.items(50))
        self.assertEqual(list(self.items(50).values()), array.first(50))
        self.assertEqual(100, len(array.first(100)))

    def test_a_full_map_says_so(self) -> None:
        table = self.map(entries=3)
        with self.assertRaises(NoFastPath) as refused:
            for key, value in self.items(5).items():
                table.set(key, value)
        self.assertEqual("the map mine is full: 3 entries", str(refused.exception))
        self.assertRaises(NoFastPath, self.map(entries=3).set_all, self.items(5))

    def test_no_descriptor_is_inherited(self) -> None:
        loaded = load(shipped_object())
        self.addCleanup(loaded.close)
        descriptors = [p.descriptor for p in loaded.programs.values()]
        descriptors += [m.descriptor for m in loaded.maps.values()]
        self.assertEqual([False] * 12, [os.get_inheritable(descriptor) for descriptor in descriptors])

    def test_a_thousand_routes_are_there_in_less_than_a_second(self) -> None:
        found = tables.Tables(load(shipped_object()))
        self.addCleanup(found.close)
        routes = {RouteKey(GROUP + n, SOURCE): RouteValue(1, n, (1, 2, 3), 1500) for n in range(1000)}
        began = time.perf_counter()
        found.set_routes(routes)
        took = time.perf_counter() - began
        print(f"1,000 routes: {took * 1000:.1f} ms")
        self.assertLess(took, 1)
        self.assertEqual(1000, len(found.routes.keys()))
        self.assertTrue(found.clear_route(RouteKey(GROUP, SOURCE)))


class Hooks(SynchronousTestCase):
    skip = why_no_bed()

    def relays(self, bed: Bed) -> int:
        bed.inject(outer(message(), 0, bed.uplink_mac))
        return len(bed.call(bed.caught))

    def test_both_ways_work_and_come_off(self) -> None:
        for way in ("tcx", CLSACT):
            bed = Bed(way)
            self.addCleanup(bed.close)
            bed.route(1, 2, flags=RouteFlag.LOCAL)
            self.assertEqual([way, way], [hook.way for hook in bed.hooks])
            self.assertEqual(2, self.relays(bed), way)
            for hook in bed.hooks:
                bed.call(hook.detach)
            bed.hooks.clear()
            self.assertEqual(0, self.relays(bed), way)

    def test_below_kernel_6_6_a_filter_takes_its_place(self) -> None:
        bed = Bed()
        self.addCleanup(bed.close)
        for hook in bed.hooks:
            bed.call(hook.detach)
        bed.hooks.clear()
        with patch.dict("multicastmw.net.bpf.hooks.TCX", {INGRESS: 4660, EGRESS: 4660}):
            bed.call(bed._attach, "")
        self.assertEqual([CLSACT] * 2, [hook.way for hook in bed.hooks])
        bed.route(1, 2)
        self.assertEqual(2, self.relays(bed))

    def test_what_a_killed_node_left_is_removed_and_nothing_else(self) -> None:
        bed = Bed(CLSACT)
        self.addCleanup(bed.close)
        other = bed.call(attach, bed.tables.up_ingress, bed.uplink, INGRESS, "another node", CLSACT)
        bed.route(1)
        self.assertEqual(1, bed.call(remove_leftovers, bed.uplink, "t0"))
        self.assertEqual(0, bed.call(remove_leftovers, bed.uplink, "t0"))
        self.assertEqual(1, self.relays(bed), "the other node's is there")
        bed.call(other.detach)
        self.assertEqual(0, self.relays(bed))
        self.assertEqual(0, bed.call(remove_leftovers, bed.tap_index, "nobody"))
        self.assertLess(len(filter_name("x" * 100)), 64)

    def test_where_somebody_else_s_filters_are_ours_comes_behind_them(self) -> None:
        """tcx would go before them."""
        bed, theirs = Bed(), Bed()
        self.addCleanup(bed.close)
        self.addCleanup(theirs.close)
        bed.call(bed.hooks.pop().detach)

        def filters() -> None:
            from pyroute2 import IPRoute

            with IPRoute() as route:
                route.tc("add", CLSACT, bed.uplink)
                route.tc(
                    "add-filter", "bpf", bed.uplink, parent=PARENTS[INGRESS], classid=1, protocol=3,
                    fd=theirs.tables.up_ingress.descriptor, name="meter", direct_action=True,
                )  # fmt: skip

        bed.call(filters)
        bed.hooks.append(bed.call(attach, bed.tables.up_ingress, bed.uplink, INGRESS, "t0"))
        self.assertEqual(CLSACT, bed.hooks[-1].way)
        bed.route(1)
        self.assertEqual(1, self.relays(bed))
        self.assertEqual({Reason.USER_NO_ROUTE: 1}, theirs.reasons(), "it has seen the datagram first")
        self.assertEqual(1, bed.call(remove_leftovers, bed.uplink, "t0"))
        self.assertEqual(0, self.relays(bed))
        self.assertEqual({Reason.USER_NO_ROUTE: 2}, theirs.reasons(), "and is there yet")

    def test_a_program_that_is_shown_a_frame_changes_nothing(self) -> None:
        bed = Bed()
        self.addCleanup(bed.close)
        frame = outer(message(), 0, bed.uplink_mac)
        run = bed.call(bed.tables.up_ingress.run, frame, context(bed.uplink), 100)
        self.assertEqual((-1, frame), (run.verdict, run.frame))
        self.assertEqual(100, bed.reasons()[Reason.USER_NO_ROUTE])
        self.assertGreater(run.nanoseconds, 0)
        self.assertRaises(OSError, bed.call, bed.tables.up_ingress.run, b"short")
        self.assertTrue(socket.if_nameindex())
