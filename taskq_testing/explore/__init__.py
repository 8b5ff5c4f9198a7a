"""Many runs: explored under seeds, made small when one fails, told in words, and carried out again.

`exploration` runs the seeds as one of the `strategies` decides, `shrink` makes a failure small, `replay` repeats it,
`tapes` keeps it, `regression` writes it as a test. `decorator` is `@simulation`, `findings` what it says of a
failure, and `progress` its one line.
"""

from taskq_testing.explore.exploration import Exploration, ExploreOptions, ExploreSettings, Failure, explore, failure_text

__all__ = ["Exploration", "ExploreOptions", "ExploreSettings", "Failure", "explore", "failure_text"]
