"""The rows of the demo's six tasks, made from sentence patterns and word lists."""
