"""Token ids in, token ids out. No tokenizer, no HTTP."""
