"""A stand-in for the Tallyfy API on the loopback interface, for tests, demonstrations and measurements."""

from __future__ import annotations

from sandbox.behaviour import Behaviour, Fault, Request
from sandbox.sandbox import Sandbox

__all__ = ["Behaviour", "Fault", "Request", "Sandbox"]
