"""Named bugs, each a small patch of a backend or of the runtime: what the suite itself is judged by.

```bash
python -m conformance.mutants                    # all of them: the kill matrix, and exit 1 if one survives
python -m conformance.mutants --only a_delay     # those whose names contain this
```

One module for each area holds a table of `Mutant`s; `patches` says how a change is made, `hunt` runs the suite against one
mutant, `crew` runs several processes and `matrix` prints what came of it.
"""

from conformance.mutants.mutant import Mutant, all_mutants
from conformance.mutants.patches import Unapplied

__all__ = ["Mutant", "Unapplied", "all_mutants"]
