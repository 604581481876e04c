"""All network input and output of chandlery."""
