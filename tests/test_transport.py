"""A response has bounds that no server can lift: of time, of size, and of what the tap takes with it."""

from __future__ import annotations

import gzip
import shutil
import socket
import ssl
import subprocess
import threading
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import requests

from tap_tallyfy.api import transport
from tap_tallyfy.api.errors import ConnectionFailedError, NetworkSettingsError
from tap_tallyfy.api.transport import MAX_BODY, TooLargeError, Transport
from tests.served import Exchange, served
from tests.tap import require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tap_tallyfy.api.response import Response


def get(connected: Transport, url: str) -> Response:
    return connected.send(connected.prepare(requests.Request("GET", url), lambda unsigned: unsigned))


# Time


def drip_a_body(exchange: Exchange) -> None:
    exchange.send_response(200)
    exchange.send_header("Content-Length", "1000000")
    exchange.end_headers()
    drip(exchange)


def drip_chunks(exchange: Exchange) -> None:
    exchange.send_response(200)
    exchange.send_header("Transfer-Encoding", "chunked")
    exchange.end_headers()
    drip(exchange, b"1\r\nx\r\n")


def drip_headers(exchange: Exchange) -> None:
    exchange.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    drip(exchange)


def never_begin(exchange: Exchange) -> None:
    while True:
        exchange.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.05)


def drip(exchange: Exchange, drop: bytes = b"x") -> None:
    while True:
        exchange.wfile.write(drop)
        time.sleep(0.05)


@pytest.mark.parametrize("answer", [drip_a_body, drip_chunks, drip_headers, never_begin])
def test_a_response_that_drips_has_a_deadline(answer: Callable[[Exchange], None]) -> None:
    gone = threading.Event()

    def until_gone(exchange: Exchange) -> None:
        try:
            answer(exchange)
        except OSError:
            gone.set()
            raise

    with served(until_gone) as server:
        with pytest.raises(ConnectionFailedError, match="no response in time"):
            get(Transport(server.url, timeout=0.5), server.url)
        assert gone.wait(120)


def test_the_deadline_begins_anew_with_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = [0.0]
    monkeypatch.setattr(transport, "time", SimpleNamespace(monotonic=lambda: seconds[0]))

    def slowly(exchange: Exchange) -> None:
        seconds[0] += 100.0
        exchange.reply(200, b"x" * 100_000)

    with served(slowly) as server:
        connected = Transport(server.url, timeout=240)
        for _ in range(4):
            assert len(get(connected, server.url).body) == 100_000


def test_a_connection_is_used_again() -> None:
    ports: set[int] = set()

    def note(exchange: Exchange) -> None:
        ports.add(exchange.client_address[1])
        exchange.reply(200, gzip.compress(b"{}"), {"Content-Encoding": "gzip"})

    with served(note) as server:
        connected = Transport(server.url, timeout=120)
        for _ in range(3):
            get(connected, server.url)
    assert len(ports) == 1


# Size


def packed(size: int) -> bytes:
    zeros = b"0" * 2**20
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return b"".join([*(packer.compress(zeros) for _ in range(size >> 20)), packer.flush()])


@pytest.mark.parametrize("kind", ["gzip", "x-gzip", "members"])
def test_a_body_that_unpacks_to_too_much_is_refused(kind: str) -> None:
    body = packed(200 << 20 if kind == "members" else 400 << 20)
    body *= 2 if kind == "members" else 1
    assert len(body) < 4 << 20
    headers = {"Content-Encoding": "gzip" if kind == "members" else kind}
    with served(lambda exchange: exchange.reply(200, body, headers)) as server, pytest.raises(TooLargeError):
        get(Transport(server.url, timeout=120), server.url)


def test_a_plain_body_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_BODY", 1000)

    def for_ever(exchange: Exchange) -> None:
        exchange.send_response(200)
        exchange.end_headers()
        while True:
            exchange.wfile.write(b"x" * 1000)

    with served(for_ever) as server, pytest.raises(TooLargeError):
        get(Transport(server.url, timeout=120), server.url)
    assert MAX_BODY == 256 << 20


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd", "compress", "deflate"])
def test_a_body_packed_as_nobody_asked_is_no_response(encoding: str) -> None:
    body = gzip.compress(gzip.compress(b"{}"))
    with (
        served(lambda exchange: exchange.reply(200, body, {"Content-Encoding": encoding})) as server,
        pytest.raises(ConnectionFailedError),
    ):
        get(Transport(server.url, timeout=120), server.url)


TEXT = bytes(range(256)) * 3000


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("", TEXT),
        ("identity", TEXT),
        ("gzip", gzip.compress(TEXT)),
        ("GZIP", gzip.compress(TEXT)),
        ("gzip", gzip.compress(TEXT[:1000]) + gzip.compress(TEXT[1000:])),
        ("gzip", gzip.compress(TEXT) + b"\0\0\0\0"),
        ("gzip", gzip.compress(TEXT) + b"\0"),
    ],
    ids=["plain", "identity", "gzip", "capitals", "two members", "padded", "padded by one"],
)
def test_a_body_is_unpacked(encoding: str, body: bytes) -> None:
    with served(lambda exchange: exchange.reply(200, body, {"Content-Encoding": encoding})) as server:
        response = get(Transport(server.url, timeout=120), server.url)
        assert server.asked[0][1]["Accept-Encoding"] == "gzip"
    assert response.body == TEXT
    assert (response.status, response.path) == (200, "/")


@pytest.mark.parametrize(
    "body",
    [gzip.compress(TEXT)[:-9], gzip.compress(TEXT)[:50], b"not gzip at all", b"\x1f\x8b"],
    ids=["no end", "no middle", "no gzip", "a beginning"],
)
def test_a_packed_body_that_is_broken_is_cut_off(body: bytes) -> None:
    with (
        served(lambda exchange: exchange.reply(200, body, {"Content-Encoding": "gzip"})) as server,
        pytest.raises(ConnectionFailedError, match="cut off"),
    ):
        get(Transport(server.url, timeout=120), server.url)


def test_a_header_that_is_none_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nno header\r\n\r\n{}")

    with served(answer) as server:
        assert get(Transport(server.url, timeout=120), f"{server.url}/?q=asked").body == b"{}"
    assert caplog.records == []


def test_an_empty_body_is_empty_however_it_is_packed() -> None:
    with served(lambda exchange: exchange.reply(200, b"", {"Content-Encoding": "gzip"})) as server:
        assert get(Transport(server.url, timeout=120), server.url).body == b""


# Through a proxy, and encrypted


@dataclass
class Encrypted:
    """A server that speaks TLS, with a certificate of its own."""

    url: str
    certificate: str
    answer: Callable[[Exchange], None]


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[Encrypted]:
    require(shutil.which("openssl"), "openssl makes a certificate")
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -keyout {key} -out {certificate}"
    subprocess.run([*command.split(), "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    made = Encrypted("", certificate, lambda exchange: exchange.reply(200, b"{}"))
    # Looked up anew for each request: a test may set another one.
    with served(lambda exchange: made.answer(exchange), context) as server:  # noqa: PLW0108
        made.url = server.url.replace("http:", "https:")
        yield made


@pytest.mark.usefixtures("no_proxy")
def test_a_certificate_that_nobody_signed_is_trusted_where_the_environment_says_so(
    encrypted: Encrypted, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConnectionFailedError, match=r"certificate is not trusted.*REQUESTS_CA_BUNDLE"):
        get(Transport(encrypted.url, timeout=120), encrypted.url)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", encrypted.certificate)
    assert get(Transport(encrypted.url, timeout=120), encrypted.url).body == b"{}"
    encrypted.answer = drip_headers
    with pytest.raises(ConnectionFailedError, match="no response in time"):
        get(Transport(encrypted.url, timeout=1), encrypted.url)


def tunnel(exchange: Exchange) -> None:
    """Be a proxy: answer what is plain, and pass on what is encrypted."""
    if exchange.command != "CONNECT":
        drip_headers(exchange)
    host, _, port = exchange.path.partition(":")
    exchange.send_response(200)
    exchange.end_headers()
    with socket.create_connection((host, int(port))) as other:
        back = threading.Thread(target=pump, args=(other, exchange.connection), daemon=True)
        back.start()
        pump(exchange.connection, other)
    exchange.close_connection = True


def pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)


@pytest.mark.usefixtures("no_proxy")
def test_a_proxy_is_no_way_around_the_deadline(encrypted: Encrypted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", encrypted.certificate)
    with served(tunnel) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert get(Transport(encrypted.url, timeout=120), encrypted.url).body == b"{}"
        encrypted.answer = drip_a_body
        for url in (encrypted.url, "http://api.example/"):
            with pytest.raises(ConnectionFailedError, match="no response in time"):
                get(Transport(url, timeout=1), url)
        assert [path for path, _ in proxy.asked][1:] == [encrypted.url.removeprefix("https://"), "http://api.example/"]


# What is taken and sent


def test_no_cookie_is_taken_or_sent() -> None:
    def bake(exchange: Exchange) -> None:
        exchange.send_response(200)
        for number in range(30):
            exchange.send_header("Set-Cookie", f"c{number}={'x' * 1800}; Path=/; Max-Age=3600")
        exchange.send_header("Content-Length", "0")
        exchange.end_headers()

    with served(bake) as server:
        connected = Transport(server.url, timeout=120)
        for _ in range(3):
            get(connected, server.url)
        assert len(server.asked) == 3
        assert not [headers for _, headers in server.asked if "Cookie" in headers]


def test_nothing_but_the_signature_is_taken_for_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password s3cr3t\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with served(lambda exchange: exchange.reply(200)) as server:
        get(Transport(server.url, timeout=120), server.url)
        assert "Authorization" not in server.asked[0][1]


# What the environment names


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.usefixtures("no_proxy")
@pytest.mark.parametrize("scheme", ["socks4", "socks4a", "socks5", "socks5h", "SOCKS5"])
@pytest.mark.parametrize("name", ["ALL_PROXY", "HTTPS_PROXY"])
def test_a_socks_proxy_gets_a_sentence(name: str, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, f"{scheme}://user:s3cr3t-of-proxy@127.0.0.1:9")
    with pytest.raises(NetworkSettingsError, match="PySocks") as failed:
        get(Transport("https://api.example/api", timeout=120), "https://api.example/api")
    assert "s3cr3t" not in str(failed.value)
    assert "'api.example' to NO_PROXY" in str(failed.value)


@pytest.mark.usefixtures("no_proxy")
@pytest.mark.parametrize("address", ["foo://127.0.0.1:9", "http://", "127.0.0.1:99999", "http://[::", "http://a b:9"])
def test_a_proxy_whose_address_is_wrong_gets_a_sentence(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", address)
    with pytest.raises(NetworkSettingsError, match="HTTPS_PROXY"):
        get(Transport("https://api.example/api", timeout=120), "https://api.example/api")


@pytest.mark.usefixtures("no_proxy")
@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("content", [None, "no certificate", ""])
def test_a_bad_file_of_certificates_gets_a_sentence(
    variable: str, content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "certificates.pem"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv(variable, str(file))
    with pytest.raises(NetworkSettingsError, match=variable) as failed:
        get(Transport("https://127.0.0.1:9/api", timeout=120), "https://127.0.0.1:9/api")
    assert str(file) in str(failed.value)
