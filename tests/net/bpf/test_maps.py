"""What a map has to know of the machine."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.net.bpf import maps
from multicastmw.net.bpf.kernel import NoFastPath


class PossibleCpus(SynchronousTestCase):
    def count(self, text: str | None) -> int:
        """As if the kernel said so; None: it says nothing, as where /sys is not mounted."""
        path = Path(self.mktemp())
        if text is not None:
            path.write_text(text)
        self.patch(maps, "POSSIBLE", path)
        maps.possible_cpus.cache_clear()
        self.addCleanup(maps.possible_cpus.cache_clear)
        return maps.possible_cpus()

    def test_they_are_counted_as_the_kernel_lists_them(self) -> None:
        self.assertEqual(
            [1, 2, 128, 6], [self.count(text) for text in ("0\n", "0-1\n", "0-127\n", "0,3-5\n")]
        )

    def test_where_they_are_not_listed_there_is_no_fast_path_and_a_reason(self) -> None:
        self.assertIn("is /sys mounted?", str(self.assertRaises(NoFastPath, self.count, None)))
