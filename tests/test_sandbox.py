"""A hostile video is alone with itself: no secrets, no other file, no network, bounded work."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import av
import psutil
import pytest

from scenebook.errors import ChildDied, InvalidMedia, InvalidSubtitles
from scenebook.model import Utterance, UtteranceSource
from scenebook.subtitles import parse_subtitles
from scenebook.transcripts import assign_utterances
from tests import clips
from tests.canaries import canary
from tests.references import alias_in
from tests.test_segmentation import LIMITS, segmented
from worker.media.client import MediaChild
from worker.media.probe import probe
from worker.media.segment import segment
from worker.media.subtitles import MAX_LINES

ROOT = Path(__file__).parents[1]
VIDEO = ROOT / "tests" / "media" / "composite_dev.mp4"
SECRETS = {
    "DATABASE_URL": "postgresql://u:very-secret@h/d",
    "REDIS_URL": "redis://:very-secret@h",
    "OPENAI_API_KEY": "sk-very-secret",
    "STORAGE_SECRET_KEY": "very-secret",
    "JWT_SECRET": "very-secret",
}


@pytest.fixture(scope="module")
def child() -> Iterator[MediaChild]:
    made = MediaChild(LIMITS)
    yield made
    made.close()


def refusal(path: Path, out: Path, child: MediaChild) -> str:
    """The code with which FFmpeg's own part refuses a file, and so does the child."""
    codes = set()
    for ask in (
        lambda: probe(path, LIMITS),
        lambda: segment(path, out, LIMITS, lambda fraction: None),
        lambda: child.probe(path),
    ):
        with pytest.raises(InvalidMedia) as refused:
            ask()
        codes.add(refused.value.code)
    (code,) = codes
    return code


# --- the process ----------------------------------------------------------------------------------


def test_the_child_has_no_secrets_and_nothing_to_gain(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    seen: dict[str, str] = {}
    media = MediaChild(LIMITS)

    def look(_fraction: float) -> None:
        assert media.pid is not None
        (working,) = psutil.Process(media.pid).children()
        assert psutil.Process(media.pid).num_threads() == 1  # only so is its fork a whole process
        for pid in (media.pid, working.pid):
            assert b"very-secret" not in Path(f"/proc/{pid}/environ").read_bytes()
            assert os.getpgid(pid) == media.pid
        for line in Path(f"/proc/{working.pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            seen[name] = value.strip()
        for line in Path(f"/proc/{working.pid}/limits").read_text().splitlines():
            seen[line[:26].strip()] = line[26:47].strip()

    media.segment(VIDEO, tmp_path, on_progress=look)
    media.close()
    assert seen["NoNewPrivs"] == "1"
    assert seen["Max core file size"] == "0"
    assert int(seen["Max open files"]) <= 256
    assert int(seen["Max file size"]) <= 1_000_000_000
    assert int(seen["Max data size"]) == 2 * LIMITS.memory_mb * 2**20
    assert int(seen["Max cpu time"]) <= (os.cpu_count() or 1) * LIMITS.timeout_s + 1


def test_the_child_works_in_an_empty_directory_that_goes_with_it(tmp_path: Path) -> None:
    media = MediaChild(LIMITS)
    try:
        for ends in (media.kill, media.close):
            media.probe(VIDEO)
            place = Path(os.readlink(f"/proc/{media.pid}/cwd"))
            assert list(place.iterdir()) == []
            assert place.stat().st_mode & 0o777 == 0o700
            assert place != Path.cwd()
            ends()
            if ends == media.kill:
                media.probe(VIDEO)  # the next one has another
                assert Path(os.readlink(f"/proc/{media.pid}/cwd")) != place
            assert not place.exists()
    finally:
        media.close()


def test_a_relative_path_is_that_of_the_caller(
    child: MediaChild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(VIDEO, tmp_path / "film")
    monkeypatch.chdir(tmp_path)
    assert child.probe(Path("film")).duration_ms == 42_400


# Runs in a process of its own, as the child does before it opens a video.
TRIES = """
import json, os, signal, socket, subprocess, sys
from dataclasses import asdict
from pathlib import Path
from scenebook.confinement import confine, no_new_privileges
from worker.media import child

folder, port, limits = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
no_new_privileges()
if not confine(read=[Path("/")], write=[folder]):
    print(json.dumps(None)); sys.exit()
child.give_up({"path": folder / "video", "out_dir": folder / "out", "limits": limits})
tries = {
    "read the video": lambda: (folder / "video").read_bytes(),
    "write what is found": lambda: (folder / "out" / "x").write_bytes(b"x"),
    "import": lambda: __import__("wave"),
    "read another file": lambda: (folder / "other").read_bytes(),
    "change the video": lambda: (folder / "video").write_bytes(b""),
    "read a password": lambda: Path("/etc/passwd").read_bytes(),
    "read the settings": lambda: Path(sys.argv[4]).read_bytes(),
    "read the parent's environment": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
    "list the folder": lambda: os.listdir(folder),
    "make a link": lambda: os.symlink("/", folder / "out" / "link"),
    "start a program": lambda: subprocess.run(["/bin/true"]),
    "call a host": lambda: socket.create_connection(("127.0.0.1", port), 5),
    "listen": lambda: socket.create_server(("127.0.0.1", 0)),
    "stop the parent": lambda: os.kill(os.getppid(), signal.SIGCONT),
    "take all memory": lambda: bytearray(limits["memory_mb"] * 3 << 20),
}
done = []
for name, attempt in tries.items():
    try:
        attempt()
        done.append(name)
    except (OSError, MemoryError):
        pass
print(json.dumps(done))
"""


def test_what_runs_in_the_child_reaches_its_video_and_its_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for name in ("video", "other"):
        (tmp_path / name).write_bytes(b"x")
    with socket.create_server(("127.0.0.1", 0)) as server:
        arguments = [str(tmp_path), str(server.getsockname()[1]), json.dumps(asdict(LIMITS))]
        done = subprocess.run(
            [sys.executable, "-c", TRIES, *arguments, str(ROOT / "pyproject.toml")],
            stdout=subprocess.PIPE,
            check=True,
            timeout=60,
            cwd=ROOT,
        )
    succeeded = json.loads(done.stdout)
    if succeeded is None:
        pytest.skip("this kernel has no Landlock")
    allowed = ["read the video", "write what is found", "import"]
    # Signals are kept in since version 6 of Landlock, TCP since version 4.
    assert [one for one in succeeded if one != "stop the parent"] == allowed


def test_a_video_that_outgrows_the_memory_ends_alone(tmp_path: Path) -> None:
    media = MediaChild(replace(LIMITS, memory_mb=20))
    with pytest.raises(ChildDied) as died:
        media.segment(VIDEO, tmp_path, on_progress=lambda fraction: None)
    assert died.value.code == "out_of_memory"
    assert media.pid is None
    media.close()


# --- other files and hosts ------------------------------------------------------------------------

REFERENCES = {
    "playlist": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
    "playlist of parts": "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n"
    "#EXT-X-BYTERANGE:1000@0\n{}\n#EXT-X-ENDLIST\n",
    "playlist with a key": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n"
    '#EXT-X-KEY:METHOD=AES-128,URI="{}"\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n',
    "playlist of playlists": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{}\n",
    "manifest": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT9S"><Period><AdaptationSet><Representation id="0" '
    'mimeType="video/mp4" bandwidth="1"><BaseURL>{}</BaseURL></Representation></AdaptationSet>'
    "</Period></MPD>",
    "list of files": "ffconcat version 1.0\nfile '{}'\n",
    "session": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\na=control:{}\n"
    "m=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "redirect": "[Reference]\r\nRef1={}\r\n",
    "second redirect": '<asx version="3.0"><entry><ref href="{}"/></entry></asx>',
    "smooth manifest": '<SmoothStreamingMedia MajorVersion="2"><StreamIndex Url="{}"/>'
    "</SmoothStreamingMedia>",
    "page": '<html><video src="{}"></video></html>',
    "drawing": '<svg xmlns="http://www.w3.org/2000/svg"><image href="{}"/></svg>',
}


@pytest.mark.parametrize("kind", REFERENCES)
def test_a_file_that_names_others_opens_none(kind: str, child: MediaChild, tmp_path: Path) -> None:
    aside, work = tmp_path / "aside", tmp_path / "work"
    aside.mkdir()
    work.mkdir()
    shutil.copy(VIDEO, aside / "canary.mp4")
    os.mkfifo(aside / "canary.ts")  # who opens it waits for ever
    with canary(aside) as bird:
        targets = (
            f"{aside}/canary.mp4", f"file://{aside}/canary.ts", "../aside/canary.mp4",
            f"http://127.0.0.1:{bird.port}/canary.ts", f"concat:{aside}/canary.mp4",
            f"subfile,,start,0,end,0,,:{aside}/canary.mp4", f"crypto:{aside}/canary.ts",
            f"cache:{aside}/canary.ts", f"tcp://127.0.0.1:{bird.port}", "fd:",
        )  # fmt: skip
        for place, target in enumerate(targets):
            hostile = work / f"hostile{place}{('.mp4', '.ts', '.mkv', '.webm')[place % 4]}"
            hostile.write_text(REFERENCES[kind].replace("{}", target))
            assert refusal(hostile, work, child) in {"unsupported_container", "not_media"}
        assert bird.disturbed() == []


def test_the_canary_notices_what_a_careless_reader_opens(tmp_path: Path) -> None:
    aside = tmp_path / "aside"
    aside.mkdir()
    shutil.copy(VIDEO, aside / "canary.mp4")
    playlist, listed = tmp_path / "list.m3u8", tmp_path / "list.ffconcat"
    listed.write_text("ffconcat version 1.0\nfile 'aside/canary.mp4'\n")
    with canary(aside) as bird:
        playlist.write_text(
            REFERENCES["playlist"].replace("{}", f"http://127.0.0.1:{bird.port}/canary.ts")
        )
        for path, options in ((listed, {}), (playlist, {"protocol_whitelist": "file,http,tcp"})):
            try:
                with av.open(str(path), options=options) as opened:
                    next(opened.demux())
            except av.error.FFmpegError:
                pass
        assert {"canary.mp4", "connection"} <= set(bird.disturbed())


def test_a_film_whose_data_lie_elsewhere_opens_nothing(child: MediaChild, tmp_path: Path) -> None:
    aside = tmp_path / "aside"
    aside.mkdir()
    shutil.copy(VIDEO, aside / "canary.mp4")
    plain = clips.write(tmp_path / "plain.mov", clips.still(1, 10))
    with canary(aside) as bird:
        hostile = tmp_path / "hostile.mov"
        hostile.write_bytes(alias_in(plain.read_bytes(), f"{aside}/canary.mp4"))
        with av.open(str(hostile), options={"enable_drefs": "1", "use_absolute_path": "1"}):
            pass
        assert bird.disturbed() == ["canary.mp4"], "the reference is not one"
        assert refusal(hostile, tmp_path, child) == "undecodable"
        assert bird.disturbed() == []


@pytest.mark.parametrize(
    "name",
    [
        "concat:canary.mp4|canary.mp4", "subfile,,start,0,end,9,,:canary.mp4", "crypto:canary.mp4",
        "file:canary.mp4", "http:canary.mp4", "fd:", "%04d.png", "-i", "tee:x", "a\nb", "\u202ex",
    ],
)  # fmt: skip
def test_a_name_is_never_a_command(name: str, child: MediaChild, tmp_path: Path) -> None:
    (tmp_path / "canary.mp4").write_bytes(b"no video")
    path = tmp_path / name
    shutil.copy(VIDEO, path)
    assert child.probe(path).duration_ms == 42_400


def test_what_is_attached_is_not_written_and_not_opened(child: MediaChild, tmp_path: Path) -> None:
    out, path = tmp_path / "out", tmp_path / "attached.mkv"
    out.mkdir()
    with av.open(str(path), "w") as file:
        file.add_attachment("../../canary.ttf", "font/ttf", b"canary" * 1000)
        stream = file.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for picture in [clips.texture(1, width=64, height=64)] * 5:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode(None))
    found = child.segment(path, out, on_progress=lambda fraction: None)
    assert found.info.video_codec == "mpeg4"
    assert {one.suffix for one in out.iterdir()} == {".jpg"}
    assert {one.name for one in tmp_path.iterdir()} == {"out", "attached.mkv"}


def test_a_pipe_or_a_folder_is_refused_at_once(child: MediaChild, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        assert refusal(path, tmp_path, child) == "not_media"


# --- bounded work ---------------------------------------------------------------------------------


def test_a_thousand_pictures_a_second_are_read(tmp_path: Path) -> None:
    pictures = [picture for seed in range(12) for picture in clips.still(seed, 25)]
    path = clips.write(tmp_path / "fast.mkv", pictures, times_ms=list(range(len(pictures))))
    found = segmented(path, replace(LIMITS, scene_min_ms=1, scene_max_count=10))
    assert found.decoded_ms == pytest.approx(300, abs=50)
    assert len(found.scenes) <= 10


def test_thousands_of_chapters_and_tags_stay_few(child: MediaChild, tmp_path: Path) -> None:
    path = tmp_path / "tags.mkv"
    with av.open(str(path), "w") as file:
        file.metadata.update({f"tag{number}": "x" * 5000 for number in range(2000)})
        file.set_chapters(
            [
                {"id": number, "start": number, "end": number + 1, "time_base": Fraction(1, 1000),
                 "metadata": {"title": "y" * 100}}
                for number in range(1, 5000)
            ]
        )  # fmt: skip
        stream = file.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        file.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        file.mux(stream.encode(None))
    assert path.stat().st_size > 10_000_000
    metadata = child.probe(path).metadata
    assert len(metadata["tags"]) <= 64
    assert len(json.dumps(metadata)) < 100_000


def test_a_flood_of_subtitles_is_read_to_its_bound_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "flood.mkv"
    with av.open(str(path), "w") as file:
        video = file.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        text = file.add_mux_stream("subrip")
        for number in range(25):
            picture = av.VideoFrame(64, 64, "yuv420p")
            picture.pts = number
            file.mux(video.encode(picture))
        file.mux(video.encode(None))
        for number in range(MAX_LINES + 10):
            line = av.Packet(b"x" if number else b"{\\" * 500_000)
            line.stream, line.time_base = text, Fraction(1, 1000)
            line.pts = line.dts = number // 60
            line.duration = 900
            file.mux(line)
    found = segmented(path)
    assert len(found.subtitles) == MAX_LINES
    assert found.damage is not None
    assert f"only the first {MAX_LINES} subtitles were read" in found.damage


def test_lines_over_all_scenes_cost_no_more_than_others() -> None:
    scenes = [(second * 1000, second * 1000 + 1000) for second in range(5000)]
    lines = [
        Utterance(number, 5_000_000, "On and on.", UtteranceSource.SUBTITLES)
        for number in range(20_000)
    ]
    assigned = assign_utterances(lines, scenes)  # one scene after another, it would take minutes
    assert sum(map(len, assigned)) == len(lines)


@pytest.mark.parametrize(
    "markup", ["<v ", "<v" + " " * 500, "<v.a", "<a ", "{\\", "<1", "&#", "\n"]
)
def test_markup_that_never_ends_is_read_once(markup: str) -> None:
    head = "WEBVTT\n\n00:00.000 --> 00:09.000\nword "
    (line,) = parse_subtitles((head + markup * (1_000_000 // len(markup))).encode(), name="x")
    assert line.text.startswith("word")


def test_a_transcript_of_too_many_lines_is_refused() -> None:
    spoken = "".join(f"<v a>{number}" for number in range(60_000))
    with pytest.raises(InvalidSubtitles, match="60,000 lines"):
        parse_subtitles(f"WEBVTT\n\n00:00.000 --> 00:09.000\n{spoken}".encode(), name="x")
    twice = "\n\n".join(f"00:0{cue}.000 --> 00:0{cue + 1}.000\n" + "a\n" * 90_000 for cue in (0, 1))
    assert len(parse_subtitles(f"WEBVTT\n\n{twice}".encode(), name="x")) == 1
