"""The bundle for Claude Desktop (.mcpb): one file that a person opens to install Rover."""
