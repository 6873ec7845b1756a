"""What a node says of a TAP that it cannot have."""

from errno import EACCES, EBUSY, EINVAL, ENOENT, ENOTTY, EPERM
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.net import netlink
from multicastmw.net.tap import TapReader
from multicastmw.sections import TapConfig
from multicastmw.services.tap import TapService, explain


class AdviceTests(SynchronousTestCase):
    """Each obstacle has its own way out."""

    def advice(self, errno: int) -> str:
        return explain(OSError(errno, "No"), "mcmw7")

    def test_a_device_file_that_is_closed_to_this_user_is_no_matter_of_capabilities(self) -> None:
        self.assertIn("/dev/net/tun", self.advice(EACCES))
        self.assertNotIn("CAP_NET_ADMIN", self.advice(EACCES))

    def test_a_device_that_may_not_be_made(self) -> None:
        self.assertIn("ip tuntap add mcmw7", self.advice(EPERM))

    def test_no_driver(self) -> None:
        self.assertIn("modprobe tun", self.advice(ENOENT))

    def test_another_kind_of_device_and_another_node(self) -> None:
        self.assertIn("mcmw7 is no TAP", self.advice(EINVAL))
        self.assertIn("another node", self.advice(EBUSY))

    def test_a_device_file_that_is_something_else(self) -> None:
        self.assertIn("/dev/net/tun is another device", self.advice(ENOTTY))
        self.assertIn("mknod /dev/net/tun c 10 200", self.advice(ENOTTY))


class DropTests(SynchronousTestCase):
    def test_what_was_dropped_while_nobody_here_read_is_no_slowness_of_this_node(self) -> None:
        """The count is made up: the kernel's of an earlier run's device takes a network of its own."""
        self.patch(netlink, "dropped", lambda device: 300)
        none: Any = None
        service = TapService(TapConfig(), "a", none, none, none, none, [], Clock(), none)
        self.assertEqual(0, service.kernel_drops())
        service._reader = cast(TapReader, self)  # as if it read
        self.assertEqual(300, service.kernel_drops())
