"""What users write about their domain. Pure."""
