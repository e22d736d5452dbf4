"""Training: one loop on Accelerate, objectives as pure functions, exact resume."""
