"""MCP over Streamable HTTP: who asks, what they may, and how much at a time.

`sessions.py` is one SDK server for all, which hands each request to the server of its client;
`middleware.py` counts; `http_endpoint.py` puts the SDK's parts around them.
"""
