"""Who may do what: tokens, given and judged."""
