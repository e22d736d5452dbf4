"""The gate's report: a model card in Markdown, a page, JUnit's XML."""
