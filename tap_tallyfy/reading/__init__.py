"""Reads a live list by pages without losing a record; knows no Tallyfy, no SDK and no HTTP."""
