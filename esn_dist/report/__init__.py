"""The results as people read them: Table-1-shaped tables, Markdown, the terminal, and rows for machines."""
