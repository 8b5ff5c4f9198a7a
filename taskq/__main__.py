"""`python -m taskq`; nothing but the way into `taskq.cli`."""

from taskq.cli import main

raise SystemExit(main())
