"""The page and the API of `charrnn serve`, on Starlette and uvicorn."""
