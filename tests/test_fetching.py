"""Requests to URLs that owners name: what is reached, what is refused, and when it is given up."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scenebook.addresses import check_url, is_public, place_of
from scenebook.errors import InvalidInput, ScenebookError, TooLarge, Unavailable
from scenebook.fetching import download, fetch

CONTENT = bytes(range(256)) * 1000
HERE = frozenset({"127.0.0.1"})
PUBLIC = "93.184.215.14"


class Site(BaseHTTPRequestHandler):
    """A web server with every bad habit; `asked` is what it heard."""

    asked: list[tuple[str, str]]

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Host"]))
        answers = {
            "/film.mp4": self.film,
            "/hop": lambda: self.redirect("/film.mp4"),
            "/loop": lambda: self.redirect("/loop"),
            "/inside": lambda: self.redirect("http://169.254.169.254/latest/meta-data/"),
            "/file": lambda: self.redirect("file:///etc/passwd"),
            "/other": lambda: self.redirect(f"http://localhost:{self.server.server_port}/film.mp4"),
            "/gzip": self.bomb,
            "/endless": self.endless,
            "/drip": self.drip,
            "/broken": self.broken,
        }
        if self.path in answers:
            with contextlib.suppress(OSError):
                answers[self.path]()
        else:
            status = int(self.path.strip("/"))
            self.send_response(status)
            self.end_headers()

    def do_POST(self) -> None:
        self.do_GET()

    def film(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.send_header("Content-Type", "video/mp4")
        self.end_headers()
        self.wfile.write(CONTENT)

    def redirect(self, to: str) -> None:
        self.send_response(302)
        self.send_header("Location", to)
        self.end_headers()

    def bomb(self) -> None:
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(gzip.compress(bytes(10_000_000)))

    def endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(CONTENT)

    def drip(self) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(100):
            self.wfile.write(b"x")
            self.wfile.flush()
            threading.Event().wait(0.05)

    def broken(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"x")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    """The URL of a web server on this machine."""
    Site.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def code_of(error: pytest.ExceptionInfo[ScenebookError]) -> str:
    return error.value.code


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/a.mp4",
        "gopher://example.org/",
        "//example.org/a.mp4",
        "example.org",
        "http://",
        "http://user:secret@example.org/",
        "http://example.org@127.0.0.1/",
        "http://example.org\\@127.0.0.1/",
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://127.0.0.1./",
        "http://0/",
        "http://0.0.0.0/",
        "http://10.0.0.1/",
        "http://100.64.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://172.16.0.1/",
        "http://192.168.1.1/",
        "http://192.88.99.1/",
        "http://198.18.0.1/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "http://[::1]/",
        "http://[::]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:93.184.215.14]/",
        "http://[::127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
        "http://[2001:db8::1]/",
        "http://[fc00::1]/",
        "http://[fd00:ec2::254]/",
        "http://[fe80::1]/",
        "http://[fe80::1%25eth0]/",
        "http://[ff02::1]/",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://redis/",
        "http://api.railway.internal/",
        "http://metadata.google.internal/",
        "http://printer.local/",
        "http://a.localhost/",
        "http://example.org:22/",
        "http://example.org:6379/",
        "http://example.org:99999/",
        "http://exämple.org/",
        "http://①②⑦.⓪.⓪.①/",
        "http://exa mple.org/",
        "http://example.org/\r\nX: y",
        "http://%31%32%37.0.0.1/",
        "http://example.org/" + "x" * 2000,
    ],
)
def test_a_url_that_could_lead_inside_is_refused_before_anything_is_asked(url: str) -> None:
    def nobody(_host: str, _port: int) -> list[str]:
        raise AssertionError("a name was looked up")

    with pytest.raises(InvalidInput) as error:
        check_url(url, resolver=nobody)
    assert code_of(error) == "url_not_allowed"


def test_public_hosts_and_their_usual_ports_are_allowed() -> None:
    assert place_of("https://Example.org/a?b=c#d").target == "/a?b=c"
    assert place_of("https://example.org.:8443").origin == ("https", "example.org", 8443)
    assert place_of("http://93.184.215.14/").port == 80
    assert is_public("2606:4700::1111")
    check_url("http://[2606:4700::1111]/", resolver=lambda _host, _port: ["2606:4700::1111"])


@pytest.mark.parametrize("inside", ["127.0.0.1", "10.1.2.3", "::1", "::ffff:10.0.0.1", "fd00::1"])
def test_one_inside_address_among_public_ones_condemns_a_name(inside: str) -> None:
    with pytest.raises(InvalidInput) as error:
        check_url("http://example.org/", resolver=lambda _host, _port: [PUBLIC, inside])
    assert code_of(error) == "url_not_allowed"


def test_a_name_that_does_not_exist_is_refused_and_a_resolver_that_is_away_is_not_asked_twice() -> (
    None
):
    def unknown(_host: str, _port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    def away(_host: str, _port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "away")

    with pytest.raises(InvalidInput) as error:
        check_url("http://example.org/", resolver=unknown)
    assert code_of(error) == "fetch_failed"
    check_url("http://example.org/", resolver=away)
    with pytest.raises(Unavailable):
        fetch("http://example.org/", resolver=away)


def test_a_name_server_that_changes_its_mind_changes_nothing(
    site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check and the connection use one answer; a later one, inside, is refused."""
    answers = iter([[PUBLIC], ["127.0.0.1"]])

    def fickle(_host: str, _port: int) -> list[str]:
        return next(answers)

    check_url("http://example.org/", resolver=fickle)
    with pytest.raises(InvalidInput) as error:
        fetch("http://example.org/", resolver=fickle)
    assert code_of(error) == "url_not_allowed"
    assert Site.asked == []


def test_the_connection_goes_to_the_checked_address_and_speaks_of_the_name(
    site: str, tmp_path: Path
) -> None:
    port = int(site.rpartition(":")[2])
    asked: list[str] = []

    def once(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    got = download(
        f"http://films.example:{port}/film.mp4",
        tmp_path / "film",
        timeout_s=5,
        max_bytes=10**6,
        allow_hosts=frozenset({"films.example"}),
        resolver=once,
    )
    assert asked == ["films.example"]
    assert Site.asked == [("/film.mp4", f"films.example:{port}")]
    assert (tmp_path / "film").read_bytes() == CONTENT
    assert got.content_hash == hashlib.sha256(CONTENT).hexdigest()
    assert (got.bytes, got.content_type) == (len(CONTENT), "video/mp4")


def test_redirects_are_followed_a_little_and_each_is_checked(site: str, tmp_path: Path) -> None:
    def get(path: str) -> None:
        download(site + path, tmp_path / "film", timeout_s=5, max_bytes=10**6, allow_hosts=HERE)

    get("/hop")
    assert (tmp_path / "film").read_bytes() == CONTENT
    for path, code in [
        ("/inside", "url_not_allowed"),
        ("/file", "url_not_allowed"),
        ("/other", "url_not_allowed"),
        ("/loop", "fetch_failed"),
    ]:
        with pytest.raises(InvalidInput) as error:
            get(path)
        assert code_of(error) == code
    assert [path for path, _ in Site.asked].count("/loop") == 4


def test_a_redirect_is_an_answer_to_whoever_follows_none(site: str) -> None:
    answer = fetch(site + "/hop", method="POST", content=b"{}", allow_hosts=HERE)
    assert (answer.status, answer.headers["location"]) == (302, "/film.mp4")


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/endless", TooLarge),
        ("/gzip", InvalidInput),
        ("/404", InvalidInput),
        ("/410", InvalidInput),
        ("/401", InvalidInput),
        ("/204", InvalidInput),
        ("/429", Unavailable),
        ("/500", Unavailable),
        ("/503", Unavailable),
        ("/drip", Unavailable),
        ("/broken", Unavailable),
    ],
)
def test_what_cannot_be_fetched_says_whether_to_try_again(
    site: str, tmp_path: Path, path: str, error: type[ScenebookError]
) -> None:
    with pytest.raises(error) as raised:
        download(site + path, tmp_path / "film", timeout_s=0.5, max_bytes=10**6, allow_hosts=HERE)
    assert raised.value.retryable == (error is Unavailable)
    assert "127.0.0.1" not in str(raised.value)


def test_a_file_that_announces_too_much_is_not_begun(site: str, tmp_path: Path) -> None:
    with pytest.raises(TooLarge):
        download(
            site + "/film.mp4", tmp_path / "film", timeout_s=5, max_bytes=1000, allow_hosts=HERE
        )
    assert not (tmp_path / "film").exists()


def test_the_environments_proxy_is_not_used(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert fetch(site + "/film.mp4", allow_hosts=HERE).content == CONTENT


def test_nobody_listening_is_worth_another_attempt() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(Unavailable) as error:
            fetch(f"http://127.0.0.1:{held.getsockname()[1]}/", allow_hosts=HERE)
    assert code_of(error) == "fetch_failed"
