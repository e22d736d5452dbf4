"""Question-answer pairs from documents, asked of a teacher and checked."""
