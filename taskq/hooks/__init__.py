"""Observers of the producer and the consumer: `base` says what one may see, one module per integration."""
