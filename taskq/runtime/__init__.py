"""The asyncio runtime of a consumer: one module per step of a message's way. Time comes from `clock` alone."""
