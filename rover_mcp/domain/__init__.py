"""Values and rules that everything else is written in: pure, no I/O, imported by all layers."""
