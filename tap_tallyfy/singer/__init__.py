"""Turns lists into Singer streams; knows the SDK."""
