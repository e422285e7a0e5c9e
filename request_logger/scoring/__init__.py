"""From a stored prediction and its feedback to `metrics`: which scorer, calling it, custom metrics."""
