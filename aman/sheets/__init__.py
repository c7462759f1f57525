"""Tables of anybody's making as rows of text, and this project's own CSV files.

`text` decodes bytes and says what is wrong with a label, `delimited` splits CSV, `workbook` reads .xlsx within bounds,
`own` writes and reads the tables that jobs leave behind. None of them knows a database.
"""
