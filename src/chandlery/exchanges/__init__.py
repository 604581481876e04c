"""Pure adapters, one file or folder per exchange; the registry discovers them here."""
