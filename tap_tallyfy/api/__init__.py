"""Sends requests to Tallyfy's HTTP API; knows no Singer."""
