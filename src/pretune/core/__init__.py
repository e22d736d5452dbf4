"""Words that every other package shares: errors, segments, scope, records, files. No torch."""
