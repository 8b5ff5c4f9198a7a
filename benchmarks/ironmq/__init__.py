"""taskq on IronMQ against hand-written loops, on the server of `taskq_testing`, in one run."""
