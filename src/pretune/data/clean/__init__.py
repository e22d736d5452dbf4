"""What is wrong with rows: near-duplicates, leaks, doubtful labels, outliers, boilerplate."""
