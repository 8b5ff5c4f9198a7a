"""Decisions. Pure: `now` and random draws are arguments; nothing here does I/O, reads a clock or knows asyncio."""
