"""All persistence of chandlery."""
