"""The scenarios, one file for each operation. They talk through App, Queue and Consumer, and know no backend's name."""
