"""What the shop remembers."""

from django.db import models
from django.utils import timezone


class Order(models.Model):
    """One order."""

    address = models.EmailField()
    state = models.CharField(max_length=20, default="open")
    created = models.DateTimeField(default=timezone.now)
    cancelled = models.DateTimeField(null=True)

    def __str__(self) -> str:
        """Return its number and state."""
        return f"order {self.pk} ({self.state})"
