"""What is private is found and replaced by pseudonyms that only a local key file undoes."""
