"""A stand-in for the Tallyfy API on the loopback interface, for tests, demonstrations and measurements."""

from __future__ import annotations

from sandbox.behaviour import KINDS, SERVERS, Behaviour
from sandbox.faults import Fault
from sandbox.sandbox import Sandbox
from sandbox.wire import Request

__all__ = ["KINDS", "SERVERS", "Behaviour", "Fault", "Request", "Sandbox"]
