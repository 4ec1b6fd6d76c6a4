"""The board: a page on loopback that shows which tasks need a person, live."""
