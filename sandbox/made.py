"""Ids and tokens that follow from what they belong to, so that the order they are asked for does not matter."""

from __future__ import annotations

import re
from functools import cache
from hashlib import blake2b
from typing import Any

_PREFIX = "5ec2e7"
_TOKEN = re.compile(_PREFIX + r"[0-9a-f]{34}")


def made_id(*parts: object) -> str:
    """An id of 32 hexadecimal digits."""
    return blake2b("/".join(map(str, parts)).encode(), digest_size=16).hexdigest()


@cache
def token(*parts: object) -> str:
    """A token that grants access to something, so a secret."""
    return _PREFIX + made_id("token", *parts) + "00"


def tokens_in(text: str) -> set[str]:
    """Every token in a text."""
    return set(_TOKEN.findall(text))


def webhook(*parts: object) -> str:
    """The URL of a webhook, which holds a secret."""
    return f"https://hooks.example.com/tallyfy/{token('webhook', *parts)}"


def file(name: str, field_id: str, subject_id: str, subject_type: str) -> dict[str, Any]:
    """A file as an answer holds it; whoever has its URL can fetch it."""
    asset = made_id("asset", field_id, subject_id)
    return {
        "id": asset,
        "filename": name,
        "version": 1,
        "url": f"https://go.tallyfy.com/api/assets/{asset}/download?token={token('asset', asset)}",
        "uploaded_from": field_id,
        "subject": {"id": subject_id, "type": subject_type},
    }
