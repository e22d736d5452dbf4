"""What a user writes: task files as pydantic models. No torch."""
