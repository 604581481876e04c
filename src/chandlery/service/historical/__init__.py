"""What was: from storage, and from the exchange where that has none."""
