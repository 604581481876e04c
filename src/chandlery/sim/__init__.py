"""An offline exchange that speaks the wire formats, with faults on demand."""
