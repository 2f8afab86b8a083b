"""No text that holds a secret is logged, whoever writes it and however the secret is written."""

from __future__ import annotations

import base64
import html
import io
import json
import logging
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote, quote_plus

import pytest

from tap_tallyfy.api.secrets import SecretFilter, Secrets, hide_in_log, repeats

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "ab+c/d\"e's3cr3t<Zz>=="
FORMS = {
    "plain": SECRET,
    "upper case": SECRET.upper(),
    "lower case": SECRET.lower(),
    "in a path": quote(SECRET),
    "in a query": quote(SECRET, safe=""),
    "in a form": quote_plus(SECRET),
    "JSON": json.dumps(SECRET),
    "Python": repr(SECRET),
    "bytes": repr(SECRET.encode()),
    "HTML": html.escape(SECRET),
    "JSON of PHP": json.dumps(SECRET).replace("/", "\\/").replace("+", "\\u002B"),
    "JSON in JSON": json.dumps(json.dumps(SECRET)),
    "hex": SECRET.encode().hex(),
    **{
        f"base64 {before} {after}": base64.b64encode(b"x" * before + SECRET.encode() + b"y" * after).decode()
        for before in range(4)
        for after in range(3)
    },
    "base64 for URLs": base64.urlsafe_b64encode(b"user:" + SECRET.encode()).decode(),
}


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """The log as the SDK writes it, with a filter for the secret."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    root = logging.getLogger()
    root.addHandler(handler)
    monkeypatch.setattr(root, "level", logging.DEBUG)
    hide_in_log(Secrets({"access_token": SECRET}))
    yield written
    root.removeHandler(handler)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_a_secret_is_hidden_in_whatever_form(log: io.StringIO, form: str) -> None:
    logging.getLogger("another.library").warning("%s said %r, %s", "It", [form], form)
    logging.getLogger("another.library").warning(form)
    text = log.getvalue()
    assert text.count("***") >= 3
    assert form not in text
    assert "It said" in text
    assert SECRET.casefold() not in text.casefold()


def test_a_secret_is_hidden_in_a_traceback(log: io.StringIO) -> None:
    def fail() -> NoReturn:
        raise RuntimeError(f"no {SECRET}")

    try:
        fail()
    except RuntimeError:
        logging.getLogger("tap-tallyfy").exception("It failed")
    assert "RuntimeError: no ***" in log.getvalue()
    assert SECRET not in log.getvalue()


def filter_of(config: dict[str, Any]) -> SecretFilter:
    made = SecretFilter()
    made.known.append(Secrets(config))
    return made


def test_a_secret_is_hidden_in_what_else_a_record_has() -> None:
    record = logging.makeLogRecord({"msg": "fine", "header": {"Authorization": [f"Bearer {SECRET}"]}, "other": 7})
    assert filter_of({"client_secret": SECRET}).filter(record)
    assert vars(record)["header"] == "***"
    assert vars(record)["other"] == 7


@pytest.mark.parametrize("args", [("a",), ("a", "b", "c"), ({"a": 1},)])
def test_a_record_whose_arguments_do_not_fit_is_left_to_logging(args: Any) -> None:
    record = logging.makeLogRecord({"msg": "%s %s", "args": args})
    assert filter_of({"client_secret": SECRET}).filter(record)
    assert record.args == args


def test_what_holds_no_secret_stays_as_it_is(log: io.StringIO) -> None:
    logging.getLogger("tap-tallyfy").warning("%d of %s", 7, "runs")
    assert log.getvalue() == "7 of runs\n"


def test_a_token_that_is_fetched_later_is_hidden_from_then_on() -> None:
    secrets = Secrets({})
    assert secrets.hidden("fetched-later") == "fetched-later"
    secrets.add("fetched-later")
    assert secrets.hidden("Bearer fetched-later") == "Bearer ***"


def test_the_password_of_a_proxy_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:pr0xy-s3cr3t@proxy.example:3128")
    monkeypatch.setenv("ALL_PROXY", "http://[no address")
    assert Secrets({}).hidden("via user:pr0xy-s3cr3t@proxy") == "via user:***@proxy"


@pytest.mark.parametrize("config", [{}, {"access_token": None}, {"access_token": 7}, {"access_token": ["x"]}])
def test_settings_that_hold_no_secret_hide_nothing(config: dict[str, Any]) -> None:
    assert Secrets(config).hidden("a text, 7 and None") == "a text, 7 and None"


def test_a_word_of_our_own_sentences_is_not_hidden() -> None:
    assert Secrets({"access_token": "token"}).hidden("the API refused the token") == "the API refused the token"


@pytest.mark.parametrize(
    ("text", "secret", "shown"),
    [
        ("T0KEN_OF_SOMEBODY", "t0ken-of-somebody", True),
        ("CODE_T0KEN_OF_SOMEBODY", "t0ken-of-somebody", True),
        ("OF_SOMEBODY", "t0ken-of-somebody", True),
        ("FORBIDDEN", "t0ken-of-somebody", False),
        ("TOKEN", "t0ken-of-somebody", False),
        ("FORBIDDEN", "", False),
        ("SHORT", "short", True),
    ],
)
def test_a_code_that_repeats_the_token_is_known(text: str, secret: str, shown: bool) -> None:
    assert repeats(text, secret) is shown


def test_the_secrets_of_two_taps_are_hidden(log: io.StringIO) -> None:
    hide_in_log(Secrets({"access_token": "t0ken-of-another"}))
    logging.getLogger("tap-tallyfy").warning("%s and %s", SECRET, "t0ken-of-another")
    assert log.getvalue() == "*** and ***\n"


def test_one_filter_is_left_however_often_it_is_put_on() -> None:
    handler = logging.StreamHandler(io.StringIO())
    logging.getLogger().addHandler(handler)
    for _ in range(3):
        hide_in_log(Secrets({}))
    logging.getLogger().removeHandler(handler)
    assert len(handler.filters) == 1
