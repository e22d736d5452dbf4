"""Documents to blocks to chunks; what one document does costs no other."""
