"""How fast event loops in virtual time are, beside the stock one in the same run."""
