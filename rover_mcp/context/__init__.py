"""What a task is given to read: issues, requests, pages and files, fetched once and kept."""
