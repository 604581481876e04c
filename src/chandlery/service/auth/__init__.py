"""Authentication and authorization: tokens, issued and validated."""
