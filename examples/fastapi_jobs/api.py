"""The API. It enqueues and answers at once; `taskq worker jobs:app` does the rest."""

from fastapi import FastAPI
from jobs import left, report, welcome
from pydantic import BaseModel

api = FastAPI()


class Signup(BaseModel):
    """Somebody who signs up."""

    address: str


@api.post("/signups", status_code=202)
async def sign_up(signup: Signup) -> dict[str, str]:
    """Sign somebody up; an async endpoint enqueues on its event loop."""
    await welcome.enqueue_async(signup.address)
    return {"address": signup.address}


@api.delete("/signups/{address}", status_code=204)
def leave(address: str) -> None:
    """Let somebody leave."""
    left.add(address)


@api.post("/reports", status_code=202)
def order_report(address: str, pages: int) -> dict[str, bool]:
    """Order a report; a sync endpoint enqueues from its thread."""
    return {"accepted": report.enqueue(address, pages).accepted}
