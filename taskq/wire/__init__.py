"""The bytes of Go taskq v3. Pure: bytes in, values out; nothing here does I/O or trusts what it reads."""
