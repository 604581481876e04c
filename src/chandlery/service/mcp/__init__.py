"""The door for language models: the Model Context Protocol."""
