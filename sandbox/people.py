"""The members, guests and groups of the made-up company."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from sandbox.data import DAY, END, GROUPS, MEMBERS, stamp
from sandbox.made import made_id, token
from sandbox.store import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIRST = ("Aiko", "Björn", "Chloé", "Dmitri", "Elif", "Fatima", "Grace", "Hồng", "Inês", "João", "Kofi", "Łucja")
_LAST = ("O'Neill", "García", "Nakamura", "Østergaard", "Schmidt", "van den Berg", "İnce", "Smith-Jones", "Ndiaye")
_TEAMS = ("Sales", "People", "Finance", "IT", None)
_INVITED, _DISABLED = (1041, 1042, 1043), (1044, 1045)

SLOW_MEMBERS = (1003, 1011, 1020)
"""They take several times as long as everybody else."""
OVERLOADED_MEMBERS = (1006, 1017)
"""They have far more open tasks than everybody else."""

GUESTS = tuple(f"guest{n:02d}@{'client' if n % 2 else 'vendor'}.example" for n in range(1, 31))
_GROUP_NAMES = ("Approvers", "Support", "Finance / AP", "人事", "Security", *(f"Project {n}" for n in range(1, 9)))
GROUP_IDS = (*GROUPS, *(made_id("group", n) for n in range(1, 9)))


def guest_token(email: str) -> str:
    """What a guest gets in with: it is in the links sent to the guest, and its code."""
    return token("guest", email)


def guest_link(email: str) -> str:
    """The link that lets a guest in."""
    return f"https://go.tallyfy.com/public/guests/{guest_token(email)}"


def full_name(user_id: int) -> str:
    """The name of a member."""
    return " ".join(_names(user_id))


def _names(number: int) -> tuple[str, str]:
    return _FIRST[number % len(_FIRST)], _LAST[number * 7 % len(_LAST)]


def _past(random: Random, days: int = 390) -> int:
    return END - int(random.random() * days * DAY)


def user(number: int, at: int, **fields: Any) -> Record:
    """A member who joined this second."""
    first, last = _names(number)
    sent = {
        "id": number,
        "email": f"member{number}@company.example",
        "username": f"member{number}",
        "first_name": first,
        "last_name": last,
        "full_name": f"{first} {last}",
        "profile_pic": None,
        "phone": f"+49 30 {number}",
        "job_title": ("Manager", "Clerk", "Engineer")[number % 3],
        "job_description": "",
        "team": _TEAMS[number % len(_TEAMS)],
        "locale": "en",
        "timezone": "Europe/Berlin",
        "UTC_offset": "+01:00",
        "date_format": "MM/DD/YYYY",
        "type": "standard",
        "role": "Admin" if number % 13 == 0 else "Standard",
        "status": "active",
        "is_active": True,
        "is_suspended": False,
        "support_user": False,
        "is_default_admin": number == MEMBERS[0],
        "country_id": 276,
        "created_at": stamp(at),
        "last_updated": stamp(at),
        "last_login_at": stamp(at),
        "last_accessed_at": stamp(at),
        "activated_at": stamp(at),
        "approved_at": stamp(at),
        "disabled_at": None,
        "reactivated_at": None,
        "invited_by": MEMBERS[0],
        "disabled_by": None,
        "reactivated_by": None,
        "last_known_ip": "192.0.2.7",
        "last_known_country": "DE",
        **fields,
    }
    return Record(str(number), sent, {})


def users() -> Iterator[Record]:
    """The members, also those who are only invited and those who were disabled."""
    for number in (*MEMBERS, *_INVITED, *_DISABLED):
        random = Random(f"user {number}")
        joined = END - 400 * DAY - _past(random) % (300 * DAY)
        login = stamp(_past(random, 60))
        fields: dict[str, Any] = {"last_login_at": login, "last_accessed_at": login, "last_updated": login}
        if number in _INVITED:
            fields = {"status": "invited", "is_active": False, "last_login_at": None, "activated_at": None}
        elif number in _DISABLED:
            fields |= {"status": "disabled", "is_active": False, "disabled_at": login, "disabled_by": MEMBERS[0]}
        yield user(number, joined, **fields)


def guest(number: int, email: str, at: int, **fields: Any) -> Record:
    """A guest who was added this second."""
    first, last = _names(number * 5)
    sent = {
        "id": number,
        "email": email,
        "first_name": first,
        "last_name": last,
        "created_at": stamp(at),
        "deleted_at": None,
        "last_accessed_at": stamp(at) if number % 3 else None,
        "last_known_ip": "198.51.100.9" if number % 3 else None,
        "last_known_country": "FR" if number % 3 else None,
        "link": guest_link(email),
        "details": {
            "status": "active",
            "phone_1": f"+33 1 {number:08d}",
            "phone_2": None,
            "timezone": "Europe/Paris",
            "company_name": email.partition("@")[2],
            "company_url": None,
            "associated_members": [MEMBERS[number % len(MEMBERS)]],
            "last_city": None,
            "last_country": None,
            "last_accessed_at": None,
            "disabled_at": None,
            "disabled_by": None,
        },
        **fields,
    }
    return Record(email, sent, {})


def guests() -> Iterator[Record]:
    """The guests."""
    for number, email in enumerate(GUESTS, 1):
        yield guest(number, email, _past(Random(email)))


def group(group_id: str, name: str, at: int, **fields: Any) -> Record:
    """A group made this second."""
    random = Random(group_id)
    sent = {
        "id": group_id,
        "name": name,
        "description": f"Everybody of {name}",
        "logo": None,
        "members": sorted(random.sample(MEMBERS, 4)),
        "guests": sorted(random.sample(GUESTS, random.randrange(3))),
        "created_at": stamp(at),
        "last_updated": stamp(at),
        **fields,
    }
    return Record(group_id, sent, {})


def groups() -> Iterator[Record]:
    """The groups."""
    for group_id, name in zip(GROUP_IDS, _GROUP_NAMES, strict=True):
        random = Random(f"{group_id} dates")
        created = _past(random)
        yield group(group_id, name, created, last_updated=stamp(created + int(random.random() * (END - created))))
