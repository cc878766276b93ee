"""`/`: where a browser that knows only the address ends up."""

from fastapi import APIRouter
from fastapi.responses import RedirectResponse

router = APIRouter()


@router.get("/", include_in_schema=False)
async def show_documentation() -> RedirectResponse:
    return RedirectResponse("/docs")
