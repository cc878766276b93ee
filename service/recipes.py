"""`/recipes`: the named specs that a job can start from."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from service.openapi import json_example, problem_responses
from service.parameters import RecipeName
from store.errors import NotFoundError
from store.specs import RECIPES, Recipe

router = APIRouter(prefix="/recipes", tags=["recipes"])


class RecipeList(BaseModel):
    """All recipes."""

    items: list[Recipe]


_EXAMPLE: dict[str, Any] = RECIPES["tutorial"].model_dump(mode="json")


@router.get("", responses={200: json_example({"items": [_EXAMPLE]})})
async def list_recipes() -> RecipeList:
    """List the recipes that POST /jobs accepts."""
    return RecipeList(items=list(RECIPES.values()))


@router.get(
    "/{recipe_name}",
    responses={
        200: json_example(_EXAMPLE),
        **problem_responses("recipe_not_found", "invalid_request"),
    },
)
async def get_recipe(recipe_name: RecipeName) -> Recipe:
    """Return a recipe with every field of its spec."""
    recipe = RECIPES.get(recipe_name)
    if recipe is None:
        raise NotFoundError(
            f"There is no recipe {recipe_name!r}. Known: {', '.join(RECIPES)}.",
            code="recipe_not_found",
        )
    return recipe
