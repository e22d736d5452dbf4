"""Asking a teacher: at its pace, within a budget, and never twice for the same answer."""
