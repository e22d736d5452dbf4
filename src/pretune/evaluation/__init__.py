"""How good a task is: metrics with intervals, comparisons, goals, reports."""
