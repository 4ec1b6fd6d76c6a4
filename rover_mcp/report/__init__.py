"""The report of a task: one page that shows what it did, what it cost and what it waited for.

`report_models` is what a report says; `gather_report` reads it from the store, the journals and the
logs; `timeline` makes rows of a journal's records; `report_page` makes a page of it and
`chrome_trace` a trace. The daemon gathers and redacts a report. Only the command line renders it,
so that no pattern of a highlighter is ever run in the daemon on what a stranger wrote.
"""
