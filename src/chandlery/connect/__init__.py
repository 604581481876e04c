"""What is open now: clients of exchanges, of ours and of others, and who uses them."""
