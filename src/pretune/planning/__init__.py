"""Before a training: can its goals be decided, what will it take, and what is advised."""
