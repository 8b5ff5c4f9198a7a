"""What the simulator can show about itself: that it repeats itself, that it finds planted bugs, what it has explored."""
