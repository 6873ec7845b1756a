"""What the fuzzers found worth keeping, through every target, without a fuzzer.

Each target takes each file of all corpora, its own and the others': whatever came from anywhere may come
here.
"""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.target import TARGETS, Target, execute, load

CORPUS = Path(__file__).parent / "corpus"
MOST = 1 << 20  # bytes of all files


def files(folder: str = "*") -> list[Path]:
    return sorted(CORPUS.glob(f"{folder}/*"))


class Corpus(SynchronousTestCase):
    def test_each_target_has_one_and_all_together_are_small(self) -> None:
        self.assertEqual({path.parent.name for path in files()}, set(TARGETS))
        self.assertLess(sum(path.stat().st_size for path in files()), MOST)

    def takes(self, target: Target, data: bytes, what: str) -> None:
        try:
            execute(target, data)
        except Exception as error:
            raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error


def add_tests(name: str) -> None:
    def seeds(self: Corpus) -> None:
        target = load(name)
        for number, data in enumerate(target.seeds()):
            self.takes(target, data, f"seed {number} of {name}")

    def inputs(self: Corpus) -> None:
        target = load(name)
        for path in files():
            self.takes(target, path.read_bytes(), f"{path.parent.name}/{path.name} in {name}")

    setattr(Corpus, f"test_{name}_takes_its_seeds", seeds)
    setattr(Corpus, f"test_{name}_takes_every_input_of_all_corpora", inputs)


for _name in TARGETS:
    add_tests(_name)
