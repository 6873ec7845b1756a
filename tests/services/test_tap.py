"""What a node says of a TAP that it cannot have."""

from errno import EACCES, EBUSY, EINVAL, ENOENT, EPERM

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.services.tap import explain


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
