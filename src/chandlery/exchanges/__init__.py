"""One pure file per exchange; the registry finds them by being here."""
