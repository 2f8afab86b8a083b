"""The organization itself, which one request answers with; nobody may store much of it."""

from __future__ import annotations

from typing import Any

from sandbox.data import DAY, END, stamp
from sandbox.made import token

#: The time zone of every organization.
ZONE = "Europe/Berlin"
_NAMES = ("Beispiel & Söhne GmbH", "Example Works Ltd", "株式会社見本")


def organization(org_id: str, seed: int, users_count: int) -> dict[str, Any]:
    """The organization as the API sends it: with keys, tokens and login addresses beside harmless fields."""
    return {
        "id": org_id,
        "name": _NAMES[seed % len(_NAMES)],
        "slug": f"example-{seed}",
        "created_on": stamp(END - 900 * DAY),
        "last_updated": stamp(END - 30 * DAY),
        "users_count": users_count,
        "limited_users": False,
        "timezone": ZONE,
        "plan_code": "pro",
        "payment_state": "active",
        "in_trial": False,
        "analytics_enabled": False,
        "user_role": "Admin",
        "working_days": {"monday": True, "tuesday": True, "wednesday": True, "thursday": True, "friday": True},
        "default_deadline": {"value": 5, "unit": "days", "option": "from", "step": "start_run"},
        "auto_archive": False,
        "billing_email": f"billing@{seed}.company.example",
        "mixpanel_token": token("mixpanel", org_id),
        "azure_cognitive_service": {"endpoint": "https://cognitive.example", "key": token("azure", org_id)},
        "saml_login_url": f"https://account.tallyfy.com/saml/{token('saml', org_id)}/login",
        "webhook": f"https://hooks.example.com/organization/{token('webhook', org_id)}",
    }
