"""What all steps of the data workshop share: tracked rows, drafts that survive a kill, lineage."""
