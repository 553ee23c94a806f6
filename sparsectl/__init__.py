"""From a trained controller to a sparse one on a microcontroller, proven on a pendulum."""
