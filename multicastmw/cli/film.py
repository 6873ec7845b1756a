"""The paper's film: a Video CD, MPEG-1 video of 1.15 Mbit/s and MP2 audio of 224 kbit/s, 1.4 Mbit/s in all.

ffmpeg makes it, draws it where nobody brings a film, counts what of it can be decoded and takes pictures out
of it.  It is the one on the path, else the one in the wheel imageio-ffmpeg.
"""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from multicastmw.cli.mpegts import looks_like_ts

WIDTH, HEIGHT, FRAME_RATE = 352, 288, 25
# Video CD 2.0 (White Book), PAL: constant rate, a decoder's buffer of 40 KiB.
VIDEO = ("-c:v", "mpeg1video", "-b:v", "1150k", "-minrate", "1150k", "-maxrate", "1150k",
         "-bufsize", "327680", "-g", "15", "-bf", "2", "-r", str(FRAME_RATE),
         "-pix_fmt", "yuv420p")  # fmt: skip
AUDIO = ("-c:a", "mp2", "-b:a", "224k", "-ar", "44100", "-ac", "2")
# A constant rate for the whole, just above what is in it: even pacing, clock references every 20 ms.
STREAM = ("-muxrate", "1450k", "-pcr_period", "20", "-f", "mpegts")

PICTURE = (
    "mandelbrot=size={size}:rate={rate}:start_scale=3:end_scale=0.002:end_pts={zoom}[fractal];"
    "testsrc2=size={size}:rate={rate},scale=118:96[clock];"
    "[fractal][clock]overlay=W-w-8:8{text}"
)
TONE = "sine=frequency=330:beep_factor=4:sample_rate=44100"
TITLE = (
    ",drawtext=text='Multicast Middleware':x=10:y=H-26:fontsize=18:fontcolor=white:box=1:boxcolor=black@0.5"
    ",drawtext=text='frame %{n}':x=10:y=10:fontsize=16:fontcolor=white:box=1:boxcolor=black@0.5"
)
ZOOM = 20 * FRAME_RATE  # frames of one dive into the fractal; deeper there is less to see

Progress = Callable[[float], None]


class FilmError(Exception):
    """No ffmpeg, or it could not do it; the text is a line for people."""


class NoFfmpeg(FilmError):
    """There is no ffmpeg on this machine."""


class Decoded(NamedTuple):
    """What a decoder makes of a film."""

    frames: int
    errors: int  # lines of complaint


def find_ffmpeg() -> str:
    """The path of an ffmpeg; raises NoFfmpeg with what to install."""
    found = shutil.which("ffmpeg")
    if found:
        return found
    try:
        import imageio_ffmpeg  # type: ignore[import-not-found, import-untyped, unused-ignore]

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise NoFfmpeg("ffmpeg is missing: apt install ffmpeg, or pip install imageio-ffmpeg") from error


def draw(target: Path, seconds: float, progress: Progress = lambda done: None) -> None:
    """Draws a film of our own."""
    frames = max(1, round(seconds * FRAME_RATE))
    length = frames / FRAME_RATE
    for text in (TITLE, ""):  # an ffmpeg without fonts draws no text
        picture = PICTURE.format(size=f"{WIDTH}x{HEIGHT}", rate=FRAME_RATE, zoom=ZOOM, text=text)
        inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", TONE, "-t", f"{length:.2f}"]
        try:
            _encode([*inputs, *VIDEO, *AUDIO, *STREAM], target, length, progress)
            return
        except FilmError:
            if not text:
                raise


def take(source: Path, target: Path, seconds: float, progress: Progress = lambda done: None) -> None:
    """A film that somebody brought, at most `seconds` of it (0: all): a transport stream keeps its codecs."""
    length = ["-t", f"{seconds:g}"] if seconds else []
    chosen = ["-i", str(source), *length, "-map", "0:v:0", "-map", "0:a:0?"]
    if is_transport_stream(source):
        _encode([*chosen, "-c", "copy", "-f", "mpegts"], target, seconds, progress)
        return
    fit = (f"scale={WIDTH}:{HEIGHT}:force_original_aspect_ratio=decrease,"
           f"pad={WIDTH}:{HEIGHT}:(ow-iw)/2:(oh-ih)/2,setsar=1")  # fmt: skip
    _encode([*chosen, "-vf", fit, *VIDEO, *AUDIO, *STREAM], target, seconds, progress)


def is_transport_stream(path: Path) -> bool:
    with path.open("rb") as file:
        return looks_like_ts(file.read(188 * 8))


def count_frames(film: Path) -> Decoded:
    """Decodes the film's video and counts."""
    command = [find_ffmpeg(), "-nostdin", "-v", "error", "-nostats", "-progress", "pipe:1",
               "-i", str(film), "-map", "0:v:0", "-f", "null", "-"]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False, process_group=0
    )  # fmt: skip
    frames = [int(line[6:]) for line in done.stdout.splitlines() if line.startswith("frame=")]
    complaints = [line for line in done.stderr.splitlines() if line.strip()]
    return Decoded(frames[-1] if frames else 0, len(complaints) or int(done.returncode != 0))


def take_picture(film: Path, at: float, target: Path) -> None:
    """The picture `at` seconds into the film, as PNG; raises FilmError where there is none."""
    target.unlink(missing_ok=True)
    source, place = ["-i", str(film)], ["-ss", f"{at:.2f}"]
    # By a jump; where no key frame follows, by decoding all that comes before.
    for way in ([*place, *source], [*source, *place]):
        _run([*way, "-frames:v", "1", str(target)])
        if target.exists():
            return
    raise FilmError(f"{film}: no picture at {at:.1f} s")


def digest(path: Path) -> str:
    """The SHA-256 of a file, as the recorder gives it of what it received."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _encode(arguments: Sequence[str], target: Path, seconds: float, progress: Progress) -> None:
    """Runs ffmpeg, telling the share that is done; no half film stays behind an error."""
    try:
        _run([*arguments, "-progress", "pipe:1", str(target)], lambda done: progress(min(1.0, done / seconds))
             if seconds else None)  # fmt: skip
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    progress(1.0)


def _run(arguments: Sequence[str], tell: Progress = lambda done: None) -> None:
    """Runs ffmpeg; `tell` hears the seconds of film that are done.  Raises FilmError with its complaint."""
    command = [find_ffmpeg(), "-nostdin", "-y", "-v", "error", "-nostats", *arguments]
    with tempfile.TemporaryFile("w+", errors="replace") as complaints, subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=complaints, text=True, process_group=0
    ) as ffmpeg:  # fmt: skip
        try:
            assert ffmpeg.stdout is not None
            for line in ffmpeg.stdout:
                name, _, value = line.strip().partition("=")
                if name == "out_time_us" and value.lstrip("-").isdigit():
                    tell(max(0, int(value)) / 1e6)
            ffmpeg.wait()
        except BaseException:
            ffmpeg.kill()
            raise
        if ffmpeg.returncode:
            complaints.seek(0)
            lines = [line.strip() for line in complaints if line.strip()]
            raise FilmError(f"ffmpeg: {lines[-1] if lines else f'exit code {ffmpeg.returncode}'}")
