"""The registry: versions of models under names, addressed by the digest of their content."""
