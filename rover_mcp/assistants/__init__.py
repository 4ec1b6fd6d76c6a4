"""The assistants that can start Rover: where each keeps its list of MCP servers, and how an entry
is put into it without touching anything else. known.py is the table, config_change.py decides,
config_file.py reads and writes."""
