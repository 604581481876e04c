"""Historical data from storage, completed from the exchange."""
