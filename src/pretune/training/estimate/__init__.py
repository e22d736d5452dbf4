"""What a training will take: reckoned from shapes, measured by two steps, corrected by both."""
