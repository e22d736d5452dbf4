"""Tasks as models over HTTP, in OpenAI's form; ``app.py`` holds the routes."""
