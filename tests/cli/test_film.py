"""The film: a Video CD, whoever made it."""

import subprocess
from pathlib import Path

from twisted.trial.unittest import TestCase

from multicastmw.cli import film
from multicastmw.cli.mpegts import Timeline

try:
    FFMPEG = film.find_ffmpeg()
    MISSING = None
except film.NoFfmpeg as error:
    FFMPEG, MISSING = "", str(error)


class FilmTests(TestCase):
    skip = MISSING

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir(parents=True)
        self.target = self.folder / "film.ts"

    def about(self, path: Path) -> str:
        """What ffmpeg says of a file."""
        return subprocess.run([FFMPEG, "-i", str(path)], capture_output=True, text=True, check=False).stderr

    def source(self, name: str, *codecs: str) -> Path:
        path = self.folder / name
        pattern = ("-f", "lavfi", "-i", "testsrc=size=320x180:rate=30", "-t", "2")
        subprocess.run([FFMPEG, "-v", "error", *pattern, *codecs, str(path)], check=True)
        return path

    def test_ours_is_a_video_cd(self) -> None:
        told: list[float] = []
        film.draw(self.target, 2, told.append)
        about = self.about(self.target)
        for what in ("mpegts", "mpeg1video", "352x288", "25 fps", "mp2", "44100 Hz", "stereo", "224 kb/s"):
            self.assertIn(what, about)
        self.assertEqual(film.count_frames(self.target), (50, 0))
        self.assertApproximates(Timeline(self.target.read_bytes()).duration, 2, 0.2)
        self.assertApproximates(self.target.stat().st_size * 8 / 2 / 1e6, 1.45, 0.1)
        self.assertEqual(told[-1], 1.0)

    def test_a_film_of_ones_own_becomes_a_video_cd(self) -> None:
        source = self.source("own.mkv", "-c:v", "mpeg4")
        film.take(source, self.target, 1)
        self.assertIn("mpeg1video", self.about(self.target))
        self.assertIn("352x288", self.about(self.target))
        self.assertEqual(film.count_frames(self.target), (25, 0))

    def test_a_transport_stream_keeps_its_codecs(self) -> None:
        source = self.source("own.ts", "-c:v", "mpeg2video")
        film.take(source, self.target, 0)
        self.assertIn("mpeg2video", self.about(self.target))
        self.assertEqual(film.count_frames(self.target), film.count_frames(source))
        Timeline(self.target.read_bytes())

    def test_a_picture_is_a_png(self) -> None:
        film.draw(self.target, 1)
        picture = self.folder / "x.png"
        film.take_picture(self.target, 0.5, picture)
        self.assertTrue(picture.read_bytes().startswith(b"\x89PNG"))
        self.assertRaises(film.FilmError, film.take_picture, self.target, 99, picture)
        self.assertFalse(picture.exists())

    def test_a_picture_behind_the_only_key_frame_is_found(self) -> None:
        source = self.source("own.ts", "-c:v", "mpeg2video", "-g", "600")
        picture = self.folder / "x.png"
        film.take_picture(source, 1, picture)
        self.assertTrue(picture.exists())

    def test_a_damaged_film_decodes_with_errors_or_fewer_frames(self) -> None:
        film.draw(self.target, 1)
        whole = self.target.read_bytes()
        middle = len(whole) // 188 // 2 * 188
        self.target.write_bytes(whole[:middle] + whole[middle + 188 * 40 :])
        frames, errors = film.count_frames(self.target)
        self.assertTrue(frames < 25 or errors)

    def test_what_is_no_film_is_one_line_and_leaves_nothing(self) -> None:
        source = self.folder / "letter.txt"
        source.write_text("Dear Sir")
        error = self.assertRaises(film.FilmError, film.take, source, self.target, 1)
        self.assertNotIn("\n", str(error))
        self.assertFalse(self.target.exists())
        self.assertEqual(film.count_frames(source).frames, 0)


class NoFfmpegTests(TestCase):
    def test_without_ffmpeg_there_is_a_line_that_says_what_to_install(self) -> None:
        self.patch(film.shutil, "which", lambda name: None)
        import sys

        self.patch(sys, "modules", {**sys.modules, "imageio_ffmpeg": None})
        error = self.assertRaises(film.NoFfmpeg, film.find_ffmpeg)
        self.assertIn("apt install ffmpeg", str(error))
