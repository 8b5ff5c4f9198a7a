"""A shop whose orders are confirmed by mail, and cancelled if nobody pays."""
