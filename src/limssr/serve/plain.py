"""The handler that `limssr benchmark serve` compares with: what one would write in ten lines, without any bound."""

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from limssr.runs.load import load


class Body(BaseModel):
    """Samples, each a mapping from streams to arrays."""

    samples: list[dict[str, list[list[float]]]]


def plain(run: str) -> FastAPI:
    """An application that scores one request after the other."""
    found, app = load(run), FastAPI()

    @app.post("/score")
    def score(body: Body) -> list[list[float]]:
        return found.predict(body.samples).tolist()

    return app


if __name__ == "__main__":
    uvicorn.run(plain(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
