"""The parts of `benchmarks.gpu`: what is timed, how, and its limits."""
